/** SQL of workers' nodes: their leases, and what they say with their heartbeats. */
import { and, eq, gt, isNotNull } from "drizzle-orm";
import type { RouteReports } from "../../shared/protocol/schema/health.ts";
import { nodes } from "./schema.ts";
import { readerOf } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import {
  countLiving,
  deleteExpired,
  deleteNode,
  selectJwtKeys,
  selectLastJwtKeys,
  selectLivingNodes,
  selectNode,
  updateSeen,
  upsertNode,
} from "./worker-statements.ts";

/** What a node says of itself with a heartbeat; see the table's columns. */
export type Said = Pick<typeof nodes.$inferSelect, "revision" | "agrees" | "usageDelayed" | "routeReports" | "jwtKeys">;

/** Renews a node's lease until `leaseUntil` (epoch milliseconds), and with it the worker's life. */
export function renewLease(
  tx: Tx,
  { workerId, nodeId }: Pick<typeof nodes.$inferSelect, "workerId" | "nodeId">,
  { revision, agrees, usageDelayed, routeReports, jwtKeys }: Said,
  leaseUntil: number,
): void {
  const { now } = tx.cause;
  const keys = jwtKeys === null ? null : JSON.stringify(jwtKeys);
  upsertNode(tx).run({
    workerId,
    nodeId,
    leaseUntil,
    revision,
    agrees: agrees === null ? null : Number(agrees),
    usageDelayed: Number(usageDelayed),
    routeReports: routeReports === null ? null : JSON.stringify(routeReports),
    jwtKeys: keys,
    registeredAt: now,
  });
  updateSeen(tx).run({ workerId, now, jwtKeys: keys });
}

/** What the nodes with a live lease say of the kernels of model services, and of which worker each is. */
export function liveReports(q: Query, now: number): { workerId: string; reports: RouteReports }[] {
  return readerOf(q)
    .select({ workerId: nodes.workerId, reports: nodes.routeReports })
    .from(nodes)
    .where(and(gt(nodes.leaseUntil, now), isNotNull(nodes.routeReports)))
    .all()
    .map(({ workerId, reports }) => ({ workerId, reports: reports ?? [] }));
}

/**
 * With which secrets each living node of a worker verifies tokens; null where it has not said. The one that was heard last comes
 * first. Where none lives it is those that are recorded (the coordinator may have been away itself), or else what the last one
 * had said.
 */
export function jwtKeysOf(q: Query, workerId: string, now: number): (string[] | null)[] {
  const all = selectJwtKeys(q).all({ workerId });
  const living = all.filter(({ leaseUntil }) => leaseUntil > now);
  const told = living.length === 0 ? all : living;
  return (told.length === 0 ? selectLastJwtKeys(q).all({ workerId }) : told).map(({ ids }) => ids);
}

/** Ends a node's lease; gives how many live ones the worker has left. */
export function endLease(tx: Tx, workerId: string, nodeId: string, now: number): number {
  deleteNode(tx).run({ workerId, nodeId });
  return liveNodes(tx, workerId, now);
}

export function hasNode(q: Query, workerId: string, nodeId: string): boolean {
  return selectNode(q).get({ workerId, nodeId }) !== undefined;
}

/** Whether a node has said that it could not write its users' activity. */
export function hasDelayedUsage(q: Query, workerId: string, nodeId: string): boolean {
  const said = readerOf(q)
    .select({ delayed: nodes.usageDelayed })
    .from(nodes)
    .where(and(eq(nodes.workerId, workerId), eq(nodes.nodeId, nodeId)))
    .get();
  return said?.delayed ?? false;
}

/** Nodes of the original's workers have no ids: they are one node per authority under this name. */
export const NAMELESS_NODE = "(unnamed)";

/** The ids of a worker's living nodes; the original's have none. */
export function livingNodes(q: Query, workerId: string, now: number): string[] {
  return livingNodeIds(q, workerId, now).filter((id) => id !== NAMELESS_NODE);
}

/** The same with `NAMELESS_NODE` for the original's. */
export function livingNodeIds(q: Query, workerId: string, now: number): string[] {
  return selectLivingNodes(q)
    .all({ workerId, now })
    .map(({ id }) => id);
}

/** How many nodes with a live lease serve a worker. */
export function liveNodes(q: Query, workerId: string, now: number): number {
  return countLiving(q).get({ workerId, now })?.nodes ?? 0;
}

export function dropExpiredNodes(tx: Tx, now: number): void {
  deleteExpired(tx).run({ now });
}
