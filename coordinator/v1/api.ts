/** Routes of the first version of the API: the same things under older names. */
import { Elysia } from "elysia";
import { Type } from "@sinclair/typebox";
import type { Log } from "../../shared/runtime/log.ts";
import { RequestIdHeader } from "../../shared/protocol/schema/api.ts";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import type { SlotsV1, WorkersV1 } from "../../shared/protocol/schema/v1.ts";
import type { AccessPlugin } from "../http/access.ts";
import type { CircuitService } from "../circuits/service.ts";
import { circuitsByWorker } from "../store/circuit-queries.ts";
import type { Db } from "../store/open.ts";
import { isoTime } from "../../shared/values.ts";
import { requestIdentity } from "../http/request-id.ts";
import { answers, models } from "../http/models.ts";
import { apiUrl, circuitCounts, listWorkers } from "../store/workers.ts";

const tags = ["Version 1"];

export function v1Routes(access: AccessPlugin, db: Db, circuits: CircuitService, log: Log) {
  return new Elysia({ name: "v1" })
    .use(access)
    .use(models)
    .get("/v1/api/slots", () => slots(db), {
      access: "api",
      response: answers("SlotsV1", 401),
      detail: { tags, summary: "List used slots" },
    })
    .get("/v1/api/worker", () => workers(db), {
      access: "api",
      response: answers("WorkersV1", 401),
      detail: { tags, summary: "List workers" },
    })
    .delete(
      "/v1/api/circuit/:circuit_id",
      ({ params: { circuit_id: id }, request }) => {
        circuits.remove(id, requestIdentity(request.headers, log));
        return { success: true };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        params: Type.Object({ circuit_id: Uuid }),
        response: answers("Success", 400, 401, 404),
        detail: { tags, summary: "Delete a circuit" },
      },
    );
}

// --- internal ---

function slots(db: Db): SlotsV1 {
  const authorities = new Map(listWorkers(db).map((row) => [row.id, row.authority]));
  return circuitsByWorker(db).map((row) => ({
    rel: row.id,
    port: row.port,
    subdomain: row.subdomain,
    wsproxy_version: "v2",
    worker__authority: authorities.get(row.workerId) ?? "",
    circuit__app: row.app,
    circuit__session_id: row.routeInfo[0]?.session_id ?? null,
    circuit__open_to_public: row.openToPublic,
    circuit__allowed_client_ips: row.allowedClientIps,
    circuit__envs: Object.keys(row.envs).length === 0 ? null : JSON.stringify(row.envs),
    circuit__arguments: row.arguments,
    circuit__created: isoTime(row.createdAt),
    circuit__modified: isoTime(row.updatedAt),
  }));
}

function workers(db: Db): WorkersV1 {
  const used = circuitCounts(db);
  return listWorkers(db).map((row) => ({
    authority: row.authority,
    endpoint: apiUrl(row),
    total_slots: row.portLow === null || row.portHigh === null ? -1 : row.portHigh - row.portLow + 1,
    ports_in_use: used.get(row.id) ?? 0,
    min_range: row.portLow,
    max_range: row.portHigh,
    wildcard_domain: row.wildcardDomain,
    created: isoTime(row.createdAt),
    updated: isoTime(row.updatedAt),
  }));
}
