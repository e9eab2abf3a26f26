/** Routes that tell how workers and the kernels of model services are. */
import { Elysia } from "elysia";
import { Type } from "@sinclair/typebox";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import type { AccessPlugin } from "../http/access.ts";
import { answers, models } from "../http/models.ts";
import type { HealthService } from "./service.ts";

const tags = ["Health"];

export function healthRoutes(access: AccessPlugin, health: HealthService) {
  return new Elysia({ name: "health" })
    .use(access)
    .use(models)
    .get("/health/status", () => health.status(), {
      access: "api",
      response: answers("StatusAnswer", 401),
      detail: { tags, summary: "Living workers" },
    })
    .get("/health/summary", () => ({ success: true, summary: health.summary() }), {
      access: "api",
      response: answers("SummaryAnswer", 401),
      detail: { tags, summary: "Health of all model services in figures" },
    })
    .get("/health/endpoints", () => ({ success: true, endpoints: health.endpoints() }), {
      access: "api",
      response: answers("EndpointsHealthAnswer", 401),
      detail: { tags, summary: "Health of every model service" },
    })
    .get(
      "/health/circuits/:circuit_id",
      ({ params: { circuit_id: id } }) => ({ success: true, circuits: [health.circuit(id)] }),
      {
        access: "api",
        params: Type.Object({ circuit_id: Uuid }),
        response: answers("CircuitHealthAnswer", 400, 401, 404),
        detail: { tags, summary: "Health of a circuit" },
      },
    );
}
