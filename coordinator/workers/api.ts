/** Routes that workers call, and the list of slots. */
import { Elysia } from "elysia";
import { Type } from "@sinclair/typebox";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import { CircuitsQuery, LeaveQuery } from "../../shared/protocol/schema/worker.ts";
import { Failure } from "../../shared/failure.ts";
import type { AccessPlugin } from "../http/access.ts";
import { RawBody } from "../http/body.ts";
import { answers, models } from "../http/models.ts";
import { BODY_IS_OPTIONAL } from "../http/openapi.ts";
import type { WorkerService } from "./service.ts";

const tags = ["Workers"];
const params = Type.Object({ worker_id: Uuid });
const SlotQuery = Type.Object({
  wsproxy_host: Type.Optional(Type.String({ description: "A worker's authority or id." })),
  in_use: Type.Optional(Type.Boolean({ default: true, description: "Only those that carry a circuit." })),
});

export function workerRoutes(access: AccessPlugin, workers: WorkerService) {
  return new Elysia({ name: "workers" })
    .use(access)
    .use(models)
    .put("/api/worker", ({ body }) => workers.register(body), {
      access: "api",
      body: "WorkerRegistration",
      // The schema's defaults would make an object of nothing.
      transform: (context) => {
        if (isEmpty(context.body)) throw new Failure("invalid-api-params", "body: wanted an object, got nothing");
      },
      response: answers("RegisteredWorker", 400, 401, 413),
      detail: {
        tags,
        summary: "Register a worker",
        description: "Keyed by `authority`; the same worker keeps its id and its circuits.",
      },
    })
    .get("/api/worker", () => ({ workers: workers.list() }), {
      access: "api",
      response: answers("WorkerList", 401),
      detail: { tags, summary: "List workers" },
    })
    .get("/api/worker/:worker_id", ({ params: { worker_id: id } }) => workers.get(id.toLowerCase()), {
      access: "api",
      params,
      response: answers("Worker", 400, 401, 404),
      detail: { tags, summary: "Read a worker" },
    })
    .patch(
      "/api/worker/:worker_id",
      ({ params: { worker_id: id }, body }) => workers.heartbeat(id.toLowerCase(), body),
      {
        access: "api",
        params,
        body: "Heartbeat",
        // The original's workers send a heartbeat without a body.
        transform: (context) => {
          if (isEmpty(context.body)) context.body = {};
        },
        response: answers("BeatenWorker", 400, 401, 404, 413),
        detail: {
          tags,
          summary: "Heartbeat",
          description: "Every 10 s. 404 means: register again. With `slots: false` the answer does not list the slots.",
          ...BODY_IS_OPTIONAL,
        },
      },
    )
    .delete(
      "/api/worker/:worker_id",
      ({ params: { worker_id: id }, query }) => {
        workers.deregister(id.toLowerCase(), query.node_id ?? null);
        return { success: true };
      },
      {
        access: "api",
        asked: LeaveQuery,
        params,
        query: LeaveQuery,
        response: answers("Success", 400, 401, 404),
        detail: {
          tags,
          summary: "Deregister a node",
          description: "Circuits stay and serve again when the worker returns.",
        },
      },
    )
    .get(
      "/api/worker/:worker_id/circuits",
      ({ params: { worker_id: id }, query: { since, epoch, node_id: nodeId } }) =>
        workers.circuits(
          id.toLowerCase(),
          since === undefined || epoch === undefined ? null : { since, epoch },
          nodeId,
        ),
      {
        access: "api",
        asked: CircuitsQuery,
        params,
        query: CircuitsQuery,
        response: answers("WorkerCircuits", 400, 401, 404),
        detail: {
          tags,
          summary: "Circuits of a worker",
          description:
            "Everything with its revision; with `since` and `epoch` what has changed since then, as long as that is recorded (ten minutes).",
        },
      },
    )
    .post(
      "/api/worker/:worker_id/service-workers",
      ({ params: { worker_id: id }, body }) => {
        workers.noteServiceWorkers(id.toLowerCase(), body.slots);
        return { success: true };
      },
      {
        access: "api",
        params,
        body: "ServiceWorkers",
        response: answers("Success", 400, 401, 404, 413),
        detail: {
          tags,
          summary: "Set slots aside",
          description:
            "Apps have had a service worker's script fetched there: these slots go to no other user, who would meet it.",
        },
      },
    )
    .get("/api/slots", ({ query }) => ({ slots: workers.slots(query.wsproxy_host, query.in_use ?? true) }), {
      access: "api",
      asked: SlotQuery,
      query: SlotQuery,
      response: answers("SlotList", 400, 401, 404),
      detail: {
        tags,
        summary: "List slots",
        description: "Of one worker or of all; the used ones, or with `in_use=false` the free ones too.",
      },
    });
}

// --- internal ---

function isEmpty(body: unknown): boolean {
  return body === undefined || (body instanceof RawBody && body.text.trim() === "");
}
