/** Routes of circuits: read, list with filters, delete. */
import { Elysia } from "elysia";
import { Type, type Static } from "@sinclair/typebox";
import { RequestIdHeader } from "../../shared/schema/api.ts";
import { Uuid } from "../../shared/schema/circuit.ts";
import type { AccessPlugin } from "../access.ts";
import { requestIdentity } from "../identity.ts";
import type { Log } from "../../shared/log.ts";
import { answers, models } from "../models.ts";
import type { CircuitService } from "./service.ts";
import type { CircuitFilter } from "./store.ts";

const ListQuery = Type.Object({
  origin_request_id: Type.Optional(Type.String({ description: "As received in X-Backend-Request-ID." })),
  session_id: Type.Optional(Uuid),
  app: Type.Optional(Type.String()),
  worker: Type.Optional(Type.String({ description: "A worker's id or authority." })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  after: Type.Optional(Uuid),
});

const params = Type.Object({ circuit_id: Uuid });
const tags = ["Circuits"];

export function circuitRoutes(access: AccessPlugin, circuits: CircuitService, log: Log) {
  return new Elysia({ name: "circuits" })
    .use(access)
    .use(models)
    .get("/api/circuits", ({ query }) => circuits.list(toFilter(query), query.limit ?? 100, query.after), {
      access: "api",
      asked: ListQuery,
      query: ListQuery,
      response: answers("CircuitPage", 400, 401),
      detail: { tags, summary: "List circuits", description: "Oldest first, filtered and in pages." },
    })
    .get("/api/circuit/:circuit_id", ({ params: { circuit_id: id } }) => circuits.get(id), {
      access: "api",
      params,
      response: answers("Circuit", 400, 401, 404),
      detail: { tags, summary: "Read a circuit" },
    })
    .delete(
      "/api/circuit/:circuit_id",
      ({ params: { circuit_id: id }, request }) => {
        circuits.remove(id, requestIdentity(request.headers, log));
        return { success: true };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        params,
        response: answers("Success", 400, 401, 404),
        detail: { tags, summary: "Delete a circuit", description: "Its slot is freed and its worker told." },
      },
    );
}

// --- internal ---

function toFilter(query: Static<typeof ListQuery>): CircuitFilter {
  return {
    originRequestId: query.origin_request_id,
    sessionId: query.session_id,
    app: query.app,
    worker: query.worker,
  };
}
