/**
 * What workers say that they can't do: ports that they can't open are set aside until they can, and who waits for a circuit
 * there hears of it at once. Called with workers' events and heartbeats, and when a worker leaves.
 */
import type { CircuitRefused } from "../../shared/protocol/events.ts";
import { reason as reasonOf } from "../../shared/failure.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import { ITSELF, type Query } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import { addBlocked, blockedAt, replaceBlocked, saysNothingNew } from "../store/blocked-ports.ts";
import { getWorker } from "../store/workers.ts";
import { oldestOpenPort } from "../store/occupants.ts";
import type { CircuitRow } from "../store/circuits.ts";

export interface Refusals {
  /** A node can't serve these circuits. */
  hear(event: CircuitRefused): Promise<void>;
  /** A node says which ports it can't open. */
  told(workerId: string, nodeId: string, ports: readonly number[]): Promise<void>;
  /** A worker has left: nobody waits for it any more. */
  left(workerId: string): void;
}

/**
 * Whether a circuit is to have another port. One that people may be using stays while any node can serve it; a new one goes
 * where all can, if there is such a port.
 */
export function mustLeave(q: Query, { workerId, port, userId }: CircuitRow, everServed: boolean, now: number): boolean {
  if (port === null) return false;
  const { nodes, wholly } = blockedAt(q, workerId, port, now);
  if (nodes === 0) return false;
  return wholly !== null || (!everServed && oldestOpenPort(q, workerId, userId, now) !== undefined);
}

export function createRefusals({ database, now, log }: Deps, acknowledgements: Acknowledgements): Refusals {
  const cause = { ...ITSELF, now };

  function tellWaiters(q: Query, rows: readonly CircuitRow[]): void {
    for (const row of rows)
      if (mustLeave(q, row, acknowledgements.everServed(row), now())) acknowledgements.forget(row.id, "refused");
  }

  async function note({ circuits, node_id: nodeId, reason }: CircuitRefused["payload"]): Promise<void> {
    const byWorker = Map.groupBy(circuits, ({ worker }) => worker);
    const portsOf = (some: typeof circuits) => some.flatMap(({ port }) => port ?? []);
    const lines = await database.transaction(cause, (tx) =>
      [...byWorker].map(([workerId, some]) => {
        addBlocked(tx, workerId, nodeId, portsOf(some), now());
        return { worker: getWorker(tx, workerId)?.authority, node: nodeId, ports: portsOf(some), reason };
      }),
    );
    for (const about of lines) log.warn(about, "a worker can't open ports: no new circuit gets them until it can");
  }

  return {
    async hear({ payload }) {
      try {
        await note(payload);
        await database.read((q) => {
          const rows = payload.circuits.map(({ id, worker, port }) => {
            const row = acknowledgements.awaitedRow(id);
            return row?.workerId === worker && row.port === port ? row : undefined;
          });
          tellWaiters(
            q,
            rows.filter((row) => row !== undefined),
          );
        });
      } catch (error) {
        // The disk may be full. Who waits hears of it with the heartbeat.
        log.warn({ reason: reasonOf(error) }, "cannot note ports that a worker can't open");
      }
    },
    async told(workerId, nodeId, ports) {
      if (await database.read((q) => saysNothingNew(q, workerId, nodeId, ports))) return;
      const { fresh, worker } = await database.transaction(cause, (tx) => ({
        fresh: new Set(replaceBlocked(tx, workerId, nodeId, ports, now())),
        worker: getWorker(tx, workerId)?.authority,
      }));
      log.info({ worker, node: nodeId, ports }, "ports that a worker can't open");
      await database.read((q) =>
        tellWaiters(
          q,
          acknowledgements.awaitedAt(workerId).filter(({ port }) => port !== null && fresh.has(port)),
        ),
      );
    },
    left(workerId) {
      for (const { id } of acknowledgements.awaitedAt(workerId)) acknowledgements.forget(id, "superseded");
    },
  };
}
