/** Routes of circuits: read, list with filters, delete. */
import { Elysia } from "elysia";
import { Type, type Static } from "@sinclair/typebox";
import { Failure } from "../../shared/failure.ts";
import { CircuitQuery, RequestIdHeader } from "../../shared/protocol/schema/api.ts";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import type { AccessPlugin } from "../http/access.ts";
import { requestIdentity } from "../http/request-id.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { answers, models } from "../http/models.ts";
import { BODY_IS_OPTIONAL } from "../http/openapi.ts";
import type { CircuitService } from "./service.ts";
import type { CircuitFilter } from "../store/circuit-queries.ts";

const DeleteQuery = Type.Object({ circuit_ids: Type.Optional(Type.String({ description: "Ids with commas." })) });
const params = Type.Object({ circuit_id: Uuid });
const tags = ["Circuits"];

export function circuitRoutes(access: AccessPlugin, circuits: CircuitService, log: Log) {
  return new Elysia({ name: "circuits" })
    .use(access)
    .use(models)
    .get("/api/circuits", ({ query }) => circuits.list(toFilter(query), query.limit ?? 100, query.after), {
      access: "api",
      asked: CircuitQuery,
      query: CircuitQuery,
      response: answers("CircuitPage", 400, 401),
      detail: { tags, summary: "List circuits", description: "Oldest first, filtered and in pages." },
    })
    .get("/api/circuit/:circuit_id", ({ params: { circuit_id: id } }) => circuits.get(id), {
      access: "api",
      params,
      response: answers("Circuit", 400, 401, 404),
      detail: { tags, summary: "Read a circuit" },
    })
    .get("/api/circuit/:circuit_id/statistics", ({ params: { circuit_id: id } }) => circuits.statistics(id), {
      access: "api",
      params,
      response: answers("CircuitStatistics", 400, 401, 404, 503),
      detail: {
        tags,
        summary: "A circuit's use",
        description: "`last_access` in milliseconds, `ttl` in seconds; circuits of model services have none.",
      },
    })
    .post(
      "/api/circuit/:circuit_id/refused",
      ({ params: { circuit_id: id }, body }) => ({ success: true, ended: circuits.refused(id, body) }),
      {
        access: "api",
        params,
        body: "RefusedReport",
        response: answers("RefusedAnswer", 400, 401, 404, 413),
        detail: {
          tags,
          summary: "Kernels refuse (workers)",
          description:
            "Of a worker that was asked to look. Ends the routes that are still as the worker knows them: an interactive app closes, a model service goes on without them.",
        },
      },
    )
    .delete(
      "/api/circuit/_/bulk",
      ({ body, request }) => {
        circuits.removeAll(idsOf(body?.circuit_ids ?? asked(request)), requestIdentity(request.headers, log));
        return { success: true };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        query: DeleteQuery,
        body: "CircuitIds",
        response: answers("Success", 400, 401, 413),
        detail: {
          tags,
          summary: "Delete circuits",
          description: "Those that are gone already count as deleted.",
          ...BODY_IS_OPTIONAL,
        },
      },
    )
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

const UUID = /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/i;

/** The name may come more than once; a parsed query has the last one only. */
function asked(request: Request): string | undefined {
  const given = new URLSearchParams(pathAndQuery(request.url).split("?")[1]).getAll("circuit_ids");
  return given.length === 0 ? undefined : given.join(",");
}

/** A list of ids, or one text with commas; with hyphens, as they are kept. */
function idsOf(given: readonly string[] | string | undefined): string[] {
  if (given === undefined)
    throw new Failure(
      "invalid-api-params",
      "circuit_ids: wanted a list of UUIDs or a text of them with commas, got nothing",
    );
  const texts = (typeof given === "string" ? given.split(",") : given).map((id) => id.trim());
  return texts
    .filter((id) => id !== "")
    .map((id) => {
      const parts = UUID.exec(id)?.slice(1);
      if (parts !== undefined) return parts.join("-");
      throw new Failure("invalid-api-params", `circuit_ids: wanted UUIDs, got ${JSON.stringify(id.slice(0, 80))}`);
    });
}

function toFilter(query: Static<typeof CircuitQuery>): CircuitFilter {
  return {
    originRequestId: query.origin_request_id,
    sessionId: query.session_id,
    app: query.app,
    worker: query.worker,
  };
}
