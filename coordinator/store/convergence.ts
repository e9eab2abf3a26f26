/** How far workers are from the database, as their nodes last said: for health and figures. */
import { eq, gt } from "drizzle-orm";
import { readerOf } from "./session.ts";
import type { Query } from "./store.ts";
import { nodes, workers } from "./schema.ts";

/** What a living node last said: its circuits are the database's, of an earlier revision, others, or it can't say. */
export type NodeState = "equal" | "behind" | "different" | "unknown";

export interface WorkerPosition {
  revision: number;
  /** Revisions that its hindmost node lacked at its last heartbeat; null when none says what it has. */
  lag: number | null;
  /** Epoch milliseconds. */
  heardAt: number;
}

export interface Agreement {
  nodes: Record<NodeState, number>;
  /** Of living workers, by authority. */
  workers: Map<string, WorkerPosition>;
}

/** `now`: epoch milliseconds. */
export function convergence(q: Query, now: number): Agreement {
  const states: Agreement["nodes"] = { equal: 0, behind: 0, different: 0, unknown: 0 };
  const known = readerOf(q).select().from(workers).where(eq(workers.status, "ALIVE")).all();
  // Not all columns: what nodes report of kernels is megabytes.
  const said = readerOf(q)
    .select({ workerId: nodes.workerId, revision: nodes.revision, agrees: nodes.agrees })
    .from(nodes)
    .where(gt(nodes.leaseUntil, now))
    .all();
  const living = Map.groupBy(said, (node) => node.workerId);
  const positions = known.map(({ id, authority, revision, lastSeenAt }) => {
    const mine = living.get(id) ?? [];
    for (const node of mine) states[stateOf(node, revision)]++;
    const lags = mine.flatMap((node) => (node.revision === null ? [] : [Math.max(0, revision - node.revision)]));
    const lag = lags.length === 0 ? null : Math.max(...lags);
    return [authority, { revision, lag, heardAt: lastSeenAt }] as const;
  });
  return { nodes: states, workers: new Map(positions) };
}

// --- internal ---

function stateOf(
  { revision, agrees }: Pick<typeof nodes.$inferSelect, "revision" | "agrees">,
  wanted: number,
): NodeState {
  if (agrees === false) return "different";
  if (revision !== null && revision < wanted) return "behind";
  return agrees === true ? "equal" : "unknown";
}
