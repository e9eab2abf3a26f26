/** Reading and deleting circuits. Creation is in apps/service.ts. */
import { Failure, notFound } from "../../shared/failure.ts";
import type { CircuitStatistics, RefusedReport } from "../../shared/protocol/schema/api.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { write } from "../store/open.ts";
import type { Deps } from "../deps.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import type { Publisher } from "../delivery/publisher.ts";
import { getWorker } from "../store/workers.ts";
import { getCircuit, listCircuits, type CircuitFilter } from "../store/circuit-queries.ts";
import { endRoutes, tellEnded } from "./end-routes.ts";
import * as store from "../store/circuits.ts";

export interface CircuitService {
  /** Throws object-not-found. */
  get(id: string): Circuit;
  list(filter: CircuitFilter, limit: number, after?: string): { circuits: Circuit[]; next: string | null };
  /** The circuit with what is known of its use. Rejects with object-not-found, or service-unavailable while live data is away. */
  statistics(id: string): Promise<CircuitStatistics>;
  /** Ends routes whose kernels refuse, unless they have changed since. Gives how many. Throws object-not-found. */
  refused(id: string, report: RefusedReport): number;
  /** Throws object-not-found. `requestId` is that of the deleting request; it goes into the event. */
  remove(id: string, requestId: string | null): void;
  /** Removes those that are there. */
  removeAll(ids: readonly string[], requestId: string | null): void;
}

export function createCircuitService(
  deps: Deps,
  publisher: Publisher,
  acknowledgements: Acknowledgements,
): CircuitService {
  const { config, database: { db }, live, now, log } = deps; // prettier-ignore
  const { unused_circuit_collection_timeout: lifetime } = config.proxy_coordinator;

  function mustFind(id: string): store.CircuitRow {
    const row = getCircuit(db, id.toLowerCase());
    if (row === undefined) throw notFound("circuit");
    return row;
  }

  /** Removes what is there of them, and tells the workers once. Gives what was removed. */
  function removeAll(ids: readonly string[], requestId: string | null): store.CircuitRow[] {
    const rows = write(db, (tx) => {
      const found = [...new Set(ids.map((id) => id.toLowerCase()))]
        .map((id) => getCircuit(tx, id))
        .filter((row) => row !== undefined);
      for (const row of found) store.removeCircuit(tx, row, { requestId, now: now() });
      return found;
    });
    publisher.kick();
    for (const row of rows) {
      acknowledgements.forget(row.id);
      log.info(
        {
          circuit: row.id,
          worker: getWorker(db, row.workerId)?.authority,
          origin_request_id: row.originRequestId,
          request_id: requestId,
        },
        "circuit deleted",
      );
    }
    return rows;
  }

  function refused(id: string, { revision, routes }: RefusedReport): number {
    const gone = new Set(routes.map(keyOf));
    const ended = write(db, (tx) => {
      const row = mustFind(id);
      // A change of an app's circuit is one of its only route. A model service's table may have changed elsewhere.
      if (row.appMode === "interactive" && row.revision !== revision) return [];
      return endRoutes(tx, [row], (route) => gone.has(keyOf(route)), { requestId: null, now: now() });
    });
    publisher.kick();
    tellEnded(deps, acknowledgements, ended, "its kernel is gone and refuses connections", null);
    return ended.reduce((sum, { row, left }) => sum + row.routeInfo.length - (left?.routeInfo.length ?? 0), 0);
  }

  return {
    refused,
    get: (id) => store.toCircuit(mustFind(id)),
    async statistics(id) {
      const row = mustFind(id);
      const use = await live.circuitUse(row.id).catch((cause: unknown) => {
        throw new Failure("service-unavailable", { msg: "Live data is away; try again", cause });
      });
      // Not used yet: its time runs from its creation.
      const lastAccess = use?.lastAccess ?? row.createdAt / 1000;
      const left = Math.max(0, Math.floor(lifetime - (now() / 1000 - lastAccess)));
      return {
        ...store.toCircuit(row),
        requests: use?.requests ?? 0,
        last_access: Math.floor(lastAccess * 1000),
        ttl: row.appMode === "inference" ? null : left,
      };
    },
    list(filter, limit, after) {
      const start = after === undefined ? undefined : getCircuit(db, after.toLowerCase());
      if (after !== undefined && start === undefined) {
        throw new Failure("invalid-api-params", `after: wanted the id of an existing circuit, got "${after}"`);
      }
      // One more than asked tells whether there is a next page.
      const rows = listCircuits(db, { ...filter, sessionId: filter.sessionId?.toLowerCase() }, limit + 1, start);
      const page = rows.slice(0, limit);
      return { circuits: page.map(store.toCircuit), next: rows.length > limit ? (page.at(-1)?.id ?? null) : null };
    },
    remove(id, requestId) {
      if (removeAll([id], requestId).length === 0) throw notFound("circuit");
    },
    removeAll: (ids, requestId) => void removeAll(ids, requestId),
  };
}

// --- internal ---

function keyOf(route: RefusedReport["routes"][number]): string {
  const { route_id: id, session_id: session, kernel_host: host, kernel_port: port } = route;
  return `${id?.toLowerCase() ?? ""} ${session.toLowerCase()} ${host} ${port}`;
}
