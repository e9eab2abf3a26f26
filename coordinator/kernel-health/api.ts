/** Routes that tell how workers and the kernels of model services are. */
import { operations } from "../../shared/protocol/operations.ts";
import { route, type Route } from "../http/routes.ts";
import type { HealthService } from "./service.ts";

export function healthRoutes(health: HealthService): Route[] {
  return [
    route(operations.workersStatus, { access: "api", summary: "Living workers", failures: [401] }, () =>
      health.status(),
    ),
    route(
      operations.healthSummary,
      { access: "api", summary: "Health of all model services in figures", failures: [401] },
      async () => ({ success: true, summary: await health.summary() }),
    ),
    route(
      operations.endpointsHealth,
      { access: "api", summary: "Health of every model service", failures: [401] },
      async () => ({ success: true, endpoints: await health.endpoints() }),
    ),
    route(
      operations.circuitHealth,
      { access: "api", summary: "Health of a circuit", failures: [400, 401, 404] },
      async ({ params }) => ({ success: true, circuits: [await health.circuit(params.circuit_id)] }),
    ),
  ];
}
