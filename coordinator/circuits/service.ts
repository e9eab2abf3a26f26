/** Reading and deleting circuits. Creation is in create.ts. */
import { Failure, notFound } from "../../shared/failure.ts";
import type { CircuitStatistics, RefusedReport } from "../../shared/protocol/schema/api.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { Deps } from "../deps.ts";
import type { Commit } from "../delivery/commit.ts";
import { getCircuit, listCircuits, type CircuitFilter, type CircuitPlace } from "../store/circuit-queries.ts";
import { endRoutes } from "./end-routes.ts";
import { type Caller, ITSELF, type Query } from "../store/store.ts";
import * as store from "../store/circuits.ts";

export interface CircuitService {
  /** Rejects with object-not-found. */
  get(id: string): Promise<Circuit>;
  list(filter: CircuitFilter, limit: number, after?: string): Promise<{ circuits: Circuit[]; next: string | null }>;
  /** The circuit with what is known of its use. Rejects with object-not-found, or service-unavailable while live data is away. */
  statistics(id: string): Promise<CircuitStatistics>;
  /** Ends routes whose kernels refuse, unless they have changed since. Gives how many. Rejects with object-not-found. */
  refused(id: string, report: RefusedReport): Promise<number>;
  /** Rejects with object-not-found. `by` is that of the deleting request; it goes into the event. */
  remove(id: string, by: Caller): Promise<void>;
  /** Removes those that are there. */
  removeAll(ids: readonly string[], by: Caller): Promise<void>;
}

export function createCircuitService({ config, database, live, now }: Deps, commit: Commit): CircuitService {
  const { unused_circuit_collection_timeout: lifetime } = config.proxy_coordinator;

  /** Removes what is there of them. Gives how many there were. */
  async function removeAll(ids: readonly string[], by: Caller): Promise<number> {
    const { result } = await commit(by, (tx) => {
      const found = [...new Set(ids.map((id) => id.toLowerCase()))]
        .map((id) => getCircuit(tx, id))
        .filter((row) => row !== undefined);
      for (const row of found) store.removeCircuit(tx, row, "deleted");
      return found.length;
    });
    return result;
  }

  async function refused(id: string, { revision, routes }: RefusedReport): Promise<number> {
    const gone = new Set(routes.map(keyOf));
    const { result: ended } = await commit(ITSELF, (tx) => {
      const row = mustFind(tx, id);
      // A change of an app's circuit is one of its only route. A model service's table may have changed elsewhere.
      if (row.appMode === "interactive" && row.revision !== revision) return [];
      return endRoutes(tx, [row], (route) => gone.has(keyOf(route)), "kernel-refuses");
    });
    return ended.reduce((sum, { row, left }) => sum + row.routeInfo.length - (left?.routeInfo.length ?? 0), 0);
  }

  return {
    refused,
    get: (id) => database.read((q) => store.toCircuit(mustFind(q, id))),
    async statistics(id) {
      const row = await database.read((q) => mustFind(q, id));
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
    list: (filter, limit, after) =>
      database.read((q) => {
        const start = after === undefined ? undefined : placeOf(q, after);
        // One more than asked tells whether there is a next page.
        const rows = listCircuits(q, { ...filter, sessionId: filter.sessionId?.toLowerCase() }, limit + 1, start);
        const page = rows.slice(0, limit);
        const last = rows.length > limit ? page.at(-1) : undefined;
        return { circuits: page.map(store.toCircuit), next: last === undefined ? null : cursorOf(last) };
      }),
    async remove(id, by) {
      if ((await removeAll([id], by)) === 0) throw notFound("circuit");
    },
    async removeAll(ids, by) {
      await removeAll(ids, by);
    },
  };
}

// --- internal ---

/** Names a place that is still good when the circuit there has gone. */
function cursorOf({ createdAt, id }: CircuitPlace): string {
  return `${createdAt}.${id}`;
}

/** Of a cursor, or of a circuit that is there, by its id. Throws invalid-api-params. */
function placeOf(q: Query, after: string): CircuitPlace {
  const [, createdAt, id = ""] =
    /^(?:(\d{1,15})\.)?([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})$/.exec(after.toLowerCase()) ?? [];
  const place = createdAt === undefined ? getCircuit(q, id) : { createdAt: Number(createdAt), id };
  if (place !== undefined) return place;
  const got = JSON.stringify(after);
  throw new Failure(
    "invalid-api-params",
    `after: wanted \`next\` of a page or the id of an existing circuit, got ${got}`,
  );
}

function mustFind(q: Query, id: string): store.CircuitRow {
  const row = getCircuit(q, id.toLowerCase());
  if (row === undefined) throw notFound("circuit");
  return row;
}

function keyOf(route: RefusedReport["routes"][number]): string {
  const { route_id: id, session_id: session, kernel_host: host, kernel_port: port } = route;
  return `${id?.toLowerCase() ?? ""} ${session.toLowerCase()} ${host} ${port}`;
}
