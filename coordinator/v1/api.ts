/** Routes of the first version of the API: the same things under older names. */
import { operations } from "../../shared/protocol/operations.ts";
import type { SlotsV1, WorkersV1 } from "../../shared/protocol/schema/v1.ts";
import { isoTime } from "../../shared/values.ts";
import type { CircuitService } from "../circuits/service.ts";
import { route, type Route } from "../http/routes.ts";
import { circuitsByWorker } from "../store/circuit-queries.ts";
import type { Query, Store } from "../store/store.ts";
import { apiUrl, circuitCounts, listWorkers } from "../store/workers.ts";

export function v1Routes(database: Store, circuits: CircuitService): Route[] {
  return [
    route(operations.slotsV1, { access: "api", summary: "List used slots", failures: [401] }, () =>
      database.read(slots),
    ),
    route(operations.workersV1, { access: "api", summary: "List workers", failures: [401] }, () =>
      database.read(workers),
    ),
    route(
      operations.deleteCircuitV1,
      { access: "api", summary: "Delete a circuit", failures: [400, 401, 404], keepsRequestId: true },
      async ({ params, by }) => {
        await circuits.remove(params.circuit_id, by);
        return { success: true };
      },
    ),
  ];
}

// --- internal ---

function slots(q: Query): SlotsV1 {
  const authorities = new Map(listWorkers(q).map((row) => [row.id, row.authority]));
  return circuitsByWorker(q).map((row) => ({
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

function workers(q: Query): WorkersV1 {
  const used = circuitCounts(q);
  return listWorkers(q).map((row) => ({
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
