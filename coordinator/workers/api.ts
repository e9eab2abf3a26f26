/** Routes that workers call, and the list of slots. */
import { operations } from "../../shared/protocol/operations.ts";
import type { Ownership } from "../http/own-worker.ts";
import { route, type Route } from "../http/routes.ts";
import type { WorkerService } from "./service.ts";

/** `own`: whether a call concerns the worker that its caller is. */
export function workerRoutes(workers: WorkerService, own: Ownership): Route[] {
  return [
    route(
      operations.registerWorker,
      {
        access: "worker",
        summary: "Register a worker",
        description:
          "Keyed by `authority`; the same worker keeps its id and its circuits. 409: a living node of that authority says otherwise, and this one does not take its place (`supersedes`).",
        failures: [400, 401, 403, 409],
        withoutBody: "a fault",
      },
      ({ body, peer, caller }) => {
        own.authority(caller, body.authority);
        return workers.register(body, peer);
      },
    ),
    route(operations.listWorkers, { access: "api", summary: "List workers", failures: [401] }, async () => ({
      workers: await workers.list(),
    })),
    route(operations.getWorker, { access: "api", summary: "Read a worker", failures: [400, 401, 404] }, ({ params }) =>
      workers.get(params.worker_id.toLowerCase()),
    ),
    route(
      operations.heartbeat,
      {
        access: "worker",
        summary: "Heartbeat",
        description: "Every 10 s. 404 means: register again. With `slots: false` the answer does not list the slots.",
        failures: [400, 401, 403, 404],
        // The original's workers send none.
        withoutBody: "an empty one",
      },
      async ({ params, body, peer, caller }) => {
        await own.worker(caller, params.worker_id);
        return workers.heartbeat(params.worker_id.toLowerCase(), body, peer);
      },
    ),
    route(
      operations.deregisterWorker,
      {
        access: "worker",
        summary: "Deregister a node",
        description: "Circuits stay and serve again when the worker returns.",
        failures: [400, 401, 403, 404],
      },
      async ({ params, query, caller }) => {
        await own.worker(caller, params.worker_id);
        await workers.deregister(params.worker_id.toLowerCase(), query.node_id ?? null);
        return { success: true };
      },
    ),
    route(
      operations.getWorkerCircuits,
      {
        access: "worker",
        summary: "Circuits of a worker",
        description:
          "Everything with its revision; with `since` and `epoch` what has changed since then, as long as that is recorded (ten minutes).",
        failures: [400, 401, 403, 404],
      },
      async ({ params, query: { since, epoch, node_id: nodeId }, caller }) => {
        await own.worker(caller, params.worker_id);
        const have = since === undefined || epoch === undefined ? null : { number: since, epoch };
        return workers.circuits(params.worker_id.toLowerCase(), have, nodeId);
      },
    ),
    route(
      operations.noteServiceWorkers,
      {
        access: "worker",
        summary: "Set slots aside",
        description:
          "Apps have had a service worker's script fetched there: these slots go to no other user, who would meet it.",
        failures: [400, 401, 403, 404],
      },
      async ({ params, body, caller }) => {
        await own.worker(caller, params.worker_id);
        await workers.noteServiceWorkers(params.worker_id.toLowerCase(), body.slots);
        return { success: true };
      },
    ),
    route(
      operations.listSlots,
      {
        access: "api",
        summary: "List slots",
        description: "Of one worker or of all; the used ones, or with `in_use=false` the free ones too.",
        failures: [400, 401, 404],
      },
      async ({ query }) => ({ slots: await workers.slots(query.wsproxy_host, query.in_use ?? true) }),
    ),
  ];
}
