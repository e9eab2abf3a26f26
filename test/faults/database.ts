/** The truth as it stands: the coordinator's database, read beside it. Never written. */
import { Database } from "bun:sqlite";
import type { Route } from "../../shared/protocol/schema/circuit.ts";

export interface Listed {
  session: string;
  host: string;
  port: number;
}

export interface StoredCircuit {
  id: string;
  workerId: string;
  app: string;
  endpointId: string | null;
  port: number | null;
  subdomain: string | null;
  revision: number;
  updated_at: string;
  routes: Route[];
  /** Where it is listed to lead to, by session and by kernel. */
  listed: Listed[];
}

export interface StoredWorker {
  id: string;
  authority: string;
  status: "ALIVE" | "LOST" | "TERMINATED";
  revision: number;
  digest: number;
  freePorts: number[];
}

export interface Stored {
  workers: StoredWorker[];
  circuits: StoredCircuit[];
  unpublished: number;
}

interface CircuitRow extends Omit<StoredCircuit, "updated_at" | "routes" | "listed"> {
  updatedAt: number;
  routeInfo: string;
}

/** All of one moment. */
export function readDatabase(path: string): Stored {
  const database = new Database(path, { readonly: true });
  try {
    database.run("PRAGMA busy_timeout = 1000");
    return database.transaction(() => read(database))();
  } finally {
    database.close();
  }
}

// --- internal ---

function read(database: Database): Stored {
  const rows = database
    .query<CircuitRow, []>(
      `SELECT id, worker_id AS workerId, app, endpoint_id AS endpointId, port, subdomain, revision,
       updated_at AS updatedAt, route_info AS routeInfo
       FROM circuits`,
    )
    .all();
  const listed = database
    .query<Listed & { circuit: string }, []>(
      "SELECT circuit_id AS circuit, session_id AS session, kernel_host AS host, kernel_port AS port FROM circuit_routes",
    )
    .all();
  const workers = database
    .query<Omit<StoredWorker, "freePorts">, []>("SELECT id, authority, status, revision, digest FROM workers")
    .all();
  const free = database
    .query<{ worker: string; port: number }, []>("SELECT worker_id AS worker, port FROM free_ports")
    .all();
  const unpublished = database
    .query<{ count: number }, []>("SELECT count(*) AS count FROM changes WHERE published_at IS NULL")
    .get();
  return {
    workers: workers.map((worker) => ({
      ...worker,
      freePorts: free.filter((one) => one.worker === worker.id).map(({ port }) => port),
    })),
    circuits: rows.map(({ routeInfo, updatedAt, ...row }) => ({
      ...row,
      updated_at: new Date(updatedAt).toISOString(),
      routes: JSON.parse(routeInfo) as Route[],
      listed: listed.filter(({ circuit }) => circuit === row.id),
    })),
    unpublished: unpublished?.count ?? 0,
  };
}
