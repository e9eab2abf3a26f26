/**
 * Which revision each node is known to have, as its polls and heartbeats say. So it can be waited for that a circuit which
 * has lost its way is gone at every node, also at one that has missed the event of it. In memory: a node that speaks to
 * another coordinator is waited for in vain, and only for a moment.
 */
import { reason } from "../../shared/failure.ts";
import type { Deps } from "../deps.ts";
import type { Query } from "../store/store.ts";
import type { CircuitRow } from "../store/circuits.ts";
import { getWorker } from "../store/workers.ts";
import { livingNodes } from "../store/nodes.ts";

export interface NodeRevisions {
  /** A node has this revision of its worker. */
  note(workerId: string, nodeId: string, revision: number): void;
  /**
   * Resolves when the nodes of these circuits' workers know what has become of them, some seconds later at the latest. At
   * once when there are none.
   */
  settled(ended: readonly { row: Pick<CircuitRow, "workerId"> }[]): Promise<void>;
}

/** A bit more than the time between two polls of a node. Milliseconds. */
const PATIENCE_MS = 4000;
const POLL_MS = 20;
/** Of one worker: nodes come with a new id at each start. */
const MAX_NODES = 256;

export function createNodeRevisions({ database, now, log }: Deps): NodeRevisions {
  const known = new Map<string, Map<string, number>>();

  function isAt(q: Query, workerId: string, revision: number): boolean {
    const mine = known.get(workerId);
    return livingNodes(q, workerId, now()).every((node) => (mine?.get(node) ?? -1) >= revision);
  }

  return {
    note(workerId, nodeId, revision) {
      const mine = known.get(workerId) ?? new Map<string, number>();
      known.set(workerId, mine);
      // The newest last.
      mine.delete(nodeId);
      mine.set(nodeId, revision);
      const [oldest] = mine.keys();
      if (mine.size > MAX_NODES && oldest !== undefined) mine.delete(oldest);
    },
    async settled(ended) {
      const workers = new Set(ended.map(({ row }) => row.workerId));
      if (workers.size === 0) return;
      const end = performance.now() + PATIENCE_MS;
      try {
        const wanted = await database.read((q) =>
          [...workers].map((id) => [id, getWorker(q, id)?.revision ?? 0] as const),
        );
        while (!(await database.read((q) => wanted.every(([id, revision]) => isAt(q, id, revision))))) {
          if (performance.now() > end) {
            log.warn({ workers: wanted.length }, "not all nodes have confirmed that ended routes are gone");
            return;
          }
          await Bun.sleep(POLL_MS);
        }
      } catch (error) {
        // It is done already; only the certainty is missing.
        log.warn({ reason: reason(error) }, "cannot find out whether ended routes are gone at all nodes");
      }
    },
  };
}
