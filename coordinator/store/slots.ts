/** SQL of a worker's slots: which are used, and which ports are free. */
import { and, eq, gt, gte, inArray, lt, lte, or } from "drizzle-orm";
import type { FrontendMode } from "../../shared/protocol/schema/circuit.ts";
import type { Slot } from "../../shared/protocol/schema/worker.ts";
import { registrars, type Registrars } from "./occupants.ts";
import { readerOf, writerOf } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import { circuits, freePorts } from "./schema.ts";
import { blockedOf } from "./blocked-ports.ts";
import type { WorkerRow } from "./workers.ts";

/** Every port of the range in port mode; in wildcard mode the used subdomains, and free ones that are kept for a user. */
export function slotsOf(q: Query, worker: WorkerRow, now: number): Slot[] {
  const blocked = new Set(blockedOf(q, now, worker.id).map(({ port }) => port));
  return allOf(q, worker).map((slot) =>
    slot.port !== null && blocked.has(slot.port) ? { ...slot, blocked: true } : slot,
  );
}

function allOf(q: Query, worker: WorkerRow): Slot[] {
  const { frontendMode: mode } = worker;
  const kept = registrars(q, worker.id);
  const used = readerOf(q)
    .select({ id: circuits.id, port: circuits.port, subdomain: circuits.subdomain })
    .from(circuits)
    .where(eq(circuits.workerId, worker.id))
    .all()
    .map(({ id, port, subdomain }) => slotOf(mode, port, subdomain, id, kept));
  if (mode === "wildcard") {
    const taken = new Set(used.map(({ subdomain }) => subdomain?.toLowerCase()));
    const names = [...kept.names.keys()].filter((name) => !taken.has(name));
    return [...used, ...names.map((name) => slotOf(mode, null, name, null, kept))];
  }
  const free = readerOf(q)
    .select({ port: freePorts.port })
    .from(freePorts)
    .where(eq(freePorts.workerId, worker.id))
    .all()
    .map(({ port }) => slotOf(mode, port, null, null, kept));
  return [...used, ...free].toSorted((a, b) => (a.port ?? 0) - (b.port ?? 0));
}

function slotOf(
  mode: FrontendMode,
  port: number | null,
  subdomain: string | null,
  circuit: string | null,
  { ports, names }: Registrars,
): Slot {
  const user = port === null ? names.get(subdomain?.toLowerCase() ?? "") : ports.get(port);
  return {
    frontend_mode: mode,
    in_use: circuit !== null,
    port,
    subdomain,
    circuit_id: circuit,
    ...(user === undefined ? {} : { service_worker_of: user }),
  };
}

/** After a registration the free ports are exactly those of the range that carry no circuit; known ones keep their turn. */
export function syncFreePorts(tx: Tx, worker: WorkerRow): void {
  const mine = eq(freePorts.workerId, worker.id);
  const { portLow: low, portHigh: high } = worker;
  if (low === null || high === null) {
    writerOf(tx).delete(freePorts).where(mine).run();
    return;
  }
  writerOf(tx)
    .delete(freePorts)
    .where(and(mine, or(lt(freePorts.port, low), gt(freePorts.port, high))))
    .run();
  const free = new Set(
    writerOf(tx)
      .select({ port: freePorts.port })
      .from(freePorts)
      .where(mine)
      .all()
      .map((row) => row.port),
  );
  const used = new Set(
    writerOf(tx)
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
    writerOf(tx)
      .insert(freePorts)
      .values(missing.slice(at, at + 5000).map((port) => ({ workerId: worker.id, port, releasedAt: 0 })))
      .onConflictDoNothing()
      .run();
  }
  const stale = [...free].filter((port) => used.has(port));
  if (stale.length > 0)
    writerOf(tx)
      .delete(freePorts)
      .where(and(mine, inArray(freePorts.port, stale)))
      .run();
}
