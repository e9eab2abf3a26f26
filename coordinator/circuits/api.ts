/** Routes of circuits: read, list with filters, delete. */
import { isIP } from "node:net";
import type { Static } from "@sinclair/typebox";
import { Failure } from "../../shared/failure.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import { operations } from "../../shared/protocol/operations.ts";
import { CircuitQuery } from "../../shared/protocol/schema/api.ts";
import type { Ownership } from "../http/own-worker.ts";
import { route, type Route } from "../http/routes.ts";
import { plainHost, type CircuitFilter } from "../store/circuit-queries.ts";
import type { CircuitService } from "./service.ts";

/** `own`: whether a call concerns a circuit of the worker that its caller is. */
export function circuitRoutes(circuits: CircuitService, own: Pick<Ownership, "circuit">): Route[] {
  return [
    route(
      operations.listCircuits,
      {
        access: "api",
        summary: "List circuits",
        description: "Oldest first, in pages; a circuit has to fit all filters that are given.",
        failures: [400, 401],
      },
      ({ query, request }) => {
        refuseUnknown(request);
        return circuits.list(toFilter(query), query.limit ?? 100, query.after);
      },
    ),
    route(
      operations.getCircuit,
      { access: "api", summary: "Read a circuit", failures: [400, 401, 404] },
      ({ params }) => circuits.get(params.circuit_id),
    ),
    route(
      operations.getStatistics,
      {
        access: "api",
        summary: "A circuit's use",
        description: "`last_access` in milliseconds, `ttl` in seconds; circuits of model services have none.",
        failures: [400, 401, 404, 503],
      },
      ({ params }) => circuits.statistics(params.circuit_id),
    ),
    route(
      operations.reportRefused,
      {
        access: "worker",
        summary: "Kernels refuse (workers)",
        description:
          "Of a worker that was asked to look. Ends the routes that are still as the worker knows them: an interactive app closes, a model service goes on without them.",
        failures: [400, 401, 403, 404],
      },
      async ({ params, body, caller }) => {
        await own.circuit(caller, params.circuit_id);
        return { success: true, ended: await circuits.refused(params.circuit_id, body) };
      },
    ),
    route(
      operations.deleteCircuits,
      {
        access: "api",
        summary: "Delete circuits",
        description: "Those that are gone already count as deleted.",
        failures: [400, 401],
        keepsRequestId: true,
        withoutBody: "allowed",
      },
      async ({ body, request, by }) => {
        await circuits.removeAll(idsOf(body?.circuit_ids ?? asked(request)), by);
        return { success: true };
      },
    ),
    route(
      operations.deleteCircuit,
      {
        access: "api",
        summary: "Delete a circuit",
        description: "Its slot is freed and its worker told.",
        failures: [400, 401, 404],
        keepsRequestId: true,
      },
      async ({ params, by }) => {
        await circuits.remove(params.circuit_id, by);
        return { success: true };
      },
    ),
  ];
}

// --- internal ---

const UUID = /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/i;

/** The name may come more than once; a parsed query has the last one only. */
function asked(request: Request): string | undefined {
  const given = queryOf(request).getAll("circuit_ids");
  return given.length === 0 ? undefined : given.join(",");
}

function queryOf(request: Request): URLSearchParams {
  return new URLSearchParams(pathAndQuery(request.url).split("?")[1]);
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

/** Throws invalid-api-params for a name that is no filter: whoever misspells one would get all circuits. */
function refuseUnknown(request: Request): void {
  const known = Object.keys(CircuitQuery.properties);
  // What is validated has lost them.
  for (const name of queryOf(request).keys())
    if (!known.includes(name)) {
      const wanted = `one of ${known.join(", ")}`;
      throw new Failure("invalid-api-params", `query: wanted ${wanted}, got ${JSON.stringify(name.slice(0, 80))}`);
    }
}

function toFilter(query: Static<typeof CircuitQuery>): CircuitFilter {
  return {
    originRequestId: query.origin_request_id,
    sessionId: query.session_id,
    app: query.app,
    worker: query.worker,
    port: query.port,
    subdomain: query.subdomain?.toLowerCase(),
    host: placeOf("host", query.host),
    userId: query.user_id?.toLowerCase(),
    kernel: placeOf("kernel", query.kernel),
    createdAfter: timeOf("created_after", query.created_after),
    createdBefore: timeOf("created_before", query.created_before),
  };
}

/** A host as it is kept, and the port behind it; IPv6 has brackets, or no port. Throws invalid-api-params. */
function placeOf(field: string, text: string | undefined): { host: string; port: number | null } | undefined {
  if (text === undefined) return undefined;
  const [, host, port] = isIP(text) === 6 ? ["", text] : (/^(\[[^\]]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? []);
  if (host !== undefined) return { host: plainHost(host), port: port === undefined ? null : Number(port) };
  throw new Failure(
    "invalid-api-params",
    `${field}: wanted a host, or host:port, got ${JSON.stringify(text.slice(0, 80))}`,
  );
}

/** RFC 3339: without a zone it would be the server's. Throws invalid-api-params. */
function timeOf(field: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  const wanted = "a time with its zone, such as 2026-01-31T12:00:00Z";
  throw new Failure("invalid-api-params", `${field}: wanted ${wanted}, got ${JSON.stringify(text.slice(0, 80))}`);
}
