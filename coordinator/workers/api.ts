/** Routes that workers call, and the list of slots. */
import { operations } from "../../shared/protocol/operations.ts";
import { route, type Route } from "../http/routes.ts";
import type { WorkerService } from "./service.ts";

export function workerRoutes(workers: WorkerService): Route[] {
  return [
    route(
      operations.registerWorker,
      {
        access: "api",
        summary: "Register a worker",
        description:
          "Keyed by `authority`; the same worker keeps its id and its circuits. 409: a living node of that authority says otherwise, and this one does not take its place (`supersedes`).",
        failures: [400, 401, 409, 413],
        withoutBody: "a fault",
      },
      ({ body, peer }) => workers.register(body, peer),
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
        access: "api",
        summary: "Heartbeat",
        description: "Every 10 s. 404 means: register again. With `slots: false` the answer does not list the slots.",
        failures: [400, 401, 404, 413],
        // The original's workers send none.
        withoutBody: "an empty one",
      },
      ({ params, body, peer }) => workers.heartbeat(params.worker_id.toLowerCase(), body, peer),
    ),
    route(
      operations.deregisterWorker,
      {
        access: "api",
        summary: "Deregister a node",
        description: "Circuits stay and serve again when the worker returns.",
        failures: [400, 401, 404],
      },
      async ({ params, query }) => {
        await workers.deregister(params.worker_id.toLowerCase(), query.node_id ?? null);
        return { success: true };
      },
    ),
    route(
      operations.getWorkerCircuits,
      {
        access: "api",
        summary: "Circuits of a worker",
        description:
          "Everything with its revision; with `since` and `epoch` what has changed since then, as long as that is recorded (ten minutes).",
        failures: [400, 401, 404],
      },
      ({ params, query: { since, epoch, node_id: nodeId } }) =>
        workers.circuits(
          params.worker_id.toLowerCase(),
          since === undefined || epoch === undefined ? null : { number: since, epoch },
          nodeId,
        ),
    ),
    route(
      operations.noteServiceWorkers,
      {
        access: "api",
        summary: "Set slots aside",
        description:
          "Apps have had a service worker's script fetched there: these slots go to no other user, who would meet it.",
        failures: [400, 401, 404, 413],
      },
      async ({ params, body }) => {
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
