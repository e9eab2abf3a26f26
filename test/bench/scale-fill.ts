/**
 * A database as a big site has it: workers, their circuits, and of the change records those that are left after the old
 * ones were dropped. Written by the coordinator's own functions, before a coordinator is started on it.
 */
import { lt, sql } from "drizzle-orm";
import * as store from "../../coordinator/store/circuits.ts";
import { openDb } from "../../coordinator/store/open.ts";
import { changes, circuits } from "../../coordinator/store/schema.ts";
import type { Tx } from "../../coordinator/store/store.ts";
import { upsertWorker } from "../../coordinator/store/workers.ts";
import { newCircuit, portRegistration } from "../support/rows.ts";
import { route } from "../support/values.ts";
import { write } from "../support/store.ts";

export const PORTS: [low: number, high: number] = [10_000, 15_999];

/** The registration of the simulated worker with this number. */
export function registrationOf(at: number) {
  return portRegistration(`scale-${String(at).padStart(2, "0")}`, { port_range: PORTS, node_id: `node-${at}` });
}

export interface Filled {
  /** Ids of the workers. */
  workers: string[];
  circuits: string[];
}

/** Fills the database at `path` with so many workers, and `each` circuits a worker. */
export function fill(path: string, workerCount: number, each: number): Filled {
  const opened = openDb(path, () => crypto.randomUUID());
  const filled: Filled = { workers: [], circuits: [] };
  const now = Date.now();
  try {
    for (let at = 0; at < workerCount; at++) {
      const row = write(opened, (tx) => upsertWorker(tx, registrationOf(at), crypto.randomUUID(), now));
      filled.workers.push(row.id);
      const addAll = (tx: Tx) => {
        for (let turn = 0; turn < each; turn++) filled.circuits.push(addCircuit(tx, row.id, PORTS[0] + turn).id);
      };
      write(opened, addAll, { now });
    }
    opened.db
      .update(circuits)
      .set({ acknowledgedAt: now, acknowledgedRevision: sql`revision` })
      .run();
    opened.db.update(changes).set({ publishedAt: now }).run();
    opened.db
      .delete(changes)
      .where(lt(changes.revision, each - KEPT))
      .run();
  } finally {
    opened.close();
  }
  return filled;
}

// --- internal ---

/** Change records a worker has left after ten minutes of ordinary work. */
const KEPT = 50;

function addCircuit(tx: Tx, workerId: string, port: number) {
  const { now } = tx.cause;
  const session = crypto.randomUUID();
  const routeInfo = [route({ session_id: session, kernel_host: "10.0.0.1", kernel_port: 30_000 })];
  const times = { usedAt: now, createdAt: now, updatedAt: now };
  return store.insertCircuit(tx, newCircuit({ workerId, port, routeInfo, ...times }));
}
