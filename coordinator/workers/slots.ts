/** SQL of a worker's slots: which are used, and which ports are free. */
import { and, eq, gt, gte, inArray, lt, lte, or } from "drizzle-orm";
import type { Slot } from "../../shared/schema/worker.ts";
import type { Db } from "../db/open.ts";
import { circuits, freePorts } from "../db/schema.ts";
import type { WorkerRow } from "./store.ts";

/** Every port of the range in port mode, the used subdomains in wildcard mode. */
export function slotsOf(db: Db, worker: WorkerRow): Slot[] {
  const used = db
    .select({ id: circuits.id, port: circuits.port, subdomain: circuits.subdomain })
    .from(circuits)
    .where(eq(circuits.workerId, worker.id))
    .all()
    .map((row) => ({
      frontend_mode: worker.frontendMode,
      in_use: true,
      port: row.port,
      subdomain: row.subdomain,
      circuit_id: row.id,
    }));
  if (worker.frontendMode === "wildcard") return used;
  const free = db
    .select({ port: freePorts.port })
    .from(freePorts)
    .where(eq(freePorts.workerId, worker.id))
    .all()
    .map(({ port }) => ({
      frontend_mode: worker.frontendMode,
      in_use: false,
      port,
      subdomain: null,
      circuit_id: null,
    }));
  return [...used, ...free].toSorted((a, b) => (a.port ?? 0) - (b.port ?? 0));
}

/** After a registration the free ports are exactly those of the range that carry no circuit; known ones keep their turn. */
export function syncFreePorts(db: Db, worker: WorkerRow): void {
  const mine = eq(freePorts.workerId, worker.id);
  const { portLow: low, portHigh: high } = worker;
  if (low === null || high === null) {
    db.delete(freePorts).where(mine).run();
    return;
  }
  db.delete(freePorts)
    .where(and(mine, or(lt(freePorts.port, low), gt(freePorts.port, high))))
    .run();
  const free = new Set(
    db
      .select({ port: freePorts.port })
      .from(freePorts)
      .where(mine)
      .all()
      .map((row) => row.port),
  );
  const used = new Set(
    db
      .select({ port: circuits.port })
      .from(circuits)
      .where(and(eq(circuits.workerId, worker.id), gte(circuits.port, low), lte(circuits.port, high)))
      .all()
      .map((row) => row.port),
  );
  const missing = Array.from({ length: high - low + 1 }, (_, at) => low + at).filter(
    (port) => !free.has(port) && !used.has(port),
  );
  // SQLite takes at most 32,766 parameters a statement.
  for (let at = 0; at < missing.length; at += 5000) {
    db.insert(freePorts)
      .values(missing.slice(at, at + 5000).map((port) => ({ workerId: worker.id, port, releasedAt: 0 })))
      .onConflictDoNothing()
      .run();
  }
  const stale = [...free].filter((port) => used.has(port));
  if (stale.length > 0)
    db.delete(freePorts)
      .where(and(mine, inArray(freePorts.port, stale)))
      .run();
}
