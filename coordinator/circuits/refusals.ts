/**
 * What workers say that they can't do: ports that they can't open are set aside until they can, and who waits for a circuit
 * there hears of it at once. Called with workers' events and heartbeats, and when a worker leaves.
 */
import type { CircuitRefused } from "../../shared/protocol/events.ts";
import { reason as reasonOf } from "../../shared/failure.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import { write, type Db } from "../store/open.ts";
import type { Deps } from "../deps.ts";
import { addBlocked, blockedAt, replaceBlocked, saysNothingNew } from "../store/blocked-ports.ts";
import { getWorker } from "../store/workers.ts";
import { oldestOpenPort } from "../store/occupants.ts";
import type { CircuitRow } from "../store/circuits.ts";

export interface Refusals {
  /** A node can't serve these circuits. */
  hear(event: CircuitRefused): void;
  /** A node says which ports it can't open. */
  told(workerId: string, nodeId: string, ports: readonly number[]): void;
  /** A worker has left: nobody waits for it any more. */
  left(workerId: string): void;
}

/**
 * Whether a circuit is to have another port. One that people may be using stays while any node can serve it; a new one goes
 * where all can, if there is such a port.
 */
export function mustLeave(db: Db, { workerId, port, userId }: CircuitRow, everServed: boolean, now: number): boolean {
  if (port === null) return false;
  const { nodes, wholly } = blockedAt(db, workerId, port, now);
  if (nodes === 0) return false;
  return wholly !== null || (!everServed && oldestOpenPort(db, workerId, userId, now) !== undefined);
}

export function createRefusals({ database: { db }, now, log }: Deps, acknowledgements: Acknowledgements): Refusals {
  function tellWaiters(rows: readonly CircuitRow[]): void {
    for (const row of rows)
      if (mustLeave(db, row, acknowledgements.everServed(row), now())) acknowledgements.forget(row.id, "refused");
  }

  return {
    hear({ payload: { circuits, node_id: nodeId, reason } }) {
      try {
        const byWorker = Map.groupBy(circuits, ({ worker }) => worker);
        for (const [workerId, some] of byWorker) {
          const ports = some.flatMap(({ port }) => port ?? []);
          write(db, (tx) => addBlocked(tx, workerId, nodeId, ports, now()));
          const about = { worker: getWorker(db, workerId)?.authority, node: nodeId, ports, reason };
          log.warn(about, "a worker can't open ports: no new circuit gets them until it can");
        }
        const rows = circuits.map(({ id, worker, port }) => {
          const row = acknowledgements.awaitedRow(id);
          return row?.workerId === worker && row.port === port ? row : undefined;
        });
        tellWaiters(rows.filter((row) => row !== undefined));
      } catch (error) {
        // The disk may be full. Who waits hears of it with the heartbeat.
        log.warn({ reason: reasonOf(error) }, "cannot note ports that a worker can't open");
      }
    },
    told(workerId, nodeId, ports) {
      if (saysNothingNew(db, workerId, nodeId, ports)) return;
      const fresh = new Set(write(db, (tx) => replaceBlocked(tx, workerId, nodeId, ports, now())));
      log.info({ worker: getWorker(db, workerId)?.authority, node: nodeId, ports }, "ports that a worker can't open");
      tellWaiters(acknowledgements.awaitedAt(workerId).filter(({ port }) => port !== null && fresh.has(port)));
    },
    left(workerId) {
      for (const { id } of acknowledgements.awaitedAt(workerId)) acknowledgements.forget(id, "superseded");
    },
  };
}
