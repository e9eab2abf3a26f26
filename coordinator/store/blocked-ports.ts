/**
 * SQL of blocked ports: those that a worker's node can't open, because another process of its machine has them. One that
 * all living nodes of its worker can't open carries nobody; one that only some of them can't open is the last choice.
 */
import { and, eq, gt, sql } from "drizzle-orm";
import type { Query, Tx } from "./store.ts";
import { prepared, preparedWrite, rowOf } from "./prepared.ts";
import { blockedPorts, freePorts, nodes } from "./schema.ts";
import { countLiving, selectNode } from "./worker-statements.ts";

/** Takes what a node says: all of its blocked ports. Gives those that are new. */
export function replaceBlocked(
  tx: Tx,
  workerId: string,
  nodeId: string,
  ports: readonly number[],
  now: number,
): number[] {
  const known = new Set(selectOfNode(tx).all({ workerId, nodeId }).map(({ port }) => port)); // prettier-ignore
  const said = new Set(ports);
  for (const port of known) if (!said.has(port)) deleteOne(tx).run({ workerId, nodeId, port });
  const fresh = [...said].filter((port) => !known.has(port));
  addBlocked(tx, workerId, nodeId, fresh, now);
  return fresh;
}

/** Whether that is what is known already: no heartbeat is to write for nothing. */
export function saysNothingNew(q: Query, workerId: string, nodeId: string, ports: readonly number[]): boolean {
  const known = selectOfNode(q).all({ workerId, nodeId });
  const said = new Set(ports);
  return known.length === said.size && known.every(({ port }) => said.has(port));
}

/** A node can't open these ports either. */
export function addBlocked(tx: Tx, workerId: string, nodeId: string, ports: readonly number[], now: number): void {
  // One that is not known any more has nothing to say.
  if (ports.length === 0 || selectNode(tx).get({ workerId, nodeId }) === undefined) return;
  for (const port of ports) insertOne(tx).run({ workerId, nodeId, port, since: now });
}

export interface Blocked {
  workerId: string;
  port: number;
  /** Of the living nodes, how many can't open it. */
  nodes: number;
  /** Since when the last of them can't. */
  since: number;
}

/** The blocked ports of a worker, or of all; of living nodes. */
export function blockedOf(q: Query, now: number, workerId: string | null = null): Blocked[] {
  return workerId === null ? selectAll(q).all({ now }) : selectOfWorker(q).all({ now, workerId });
}

/** How many nodes of the worker can't open a port, and since when it can't be opened at all; null when it can. */
export function blockedAt(
  q: Query,
  workerId: string,
  port: number,
  now: number,
): { nodes: number; wholly: number | null } {
  const found = selectOfPort(q).get({ workerId, port, now });
  if (found === undefined || found.nodes === 0) return { nodes: 0, wholly: null };
  return { nodes: found.nodes, wholly: found.nodes >= liveNodes(q, workerId, now) ? found.since : null };
}

/** How many free ports of each worker, or of one, can't be opened at all. */
export function closedCounts(q: Query, now: number, of: string | null = null): Map<string, number> {
  // Each placement asks, and a range that another process has is thousands of rows: one query, not one a port.
  const byWorker = Map.groupBy(selectFreeOnes(q).all({ now, workerId: of }), ({ workerId }) => workerId);
  const counts = [...byWorker].map(([workerId, ports]) => {
    const living = liveNodes(q, workerId, now);
    return [workerId, ports.filter(({ nodes: count }) => count >= living).length] as const;
  });
  return new Map(counts.filter(([, count]) => count > 0));
}

/** Of a query over free ports, with a placeholder `now`: every living node can open the port. */
export const isOpenAtAll = sql`NOT EXISTS (SELECT 1 FROM ${blockedPorts} JOIN ${nodes} ON ${nodes.workerId} = ${blockedPorts.workerId}
  AND ${nodes.nodeId} = ${blockedPorts.nodeId} AND ${nodes.leaseUntil} > ${sql.placeholder("now")}
  WHERE ${blockedPorts.workerId} = ${freePorts.workerId} AND ${blockedPorts.port} = ${freePorts.port})`;

/** The same: some node can. */
export const isOpenAtSome = sql`(${isOpenAtAll} OR EXISTS (SELECT 1 FROM ${nodes} WHERE ${nodes.workerId} = ${freePorts.workerId}
  AND ${nodes.leaseUntil} > ${sql.placeholder("now")} AND NOT EXISTS (SELECT 1 FROM ${blockedPorts}
  WHERE ${blockedPorts.workerId} = ${nodes.workerId} AND ${blockedPorts.nodeId} = ${nodes.nodeId}
  AND ${blockedPorts.port} = ${freePorts.port})))`;

// --- internal ---

function liveNodes(q: Query, workerId: string, now: number): number {
  return countLiving(q).get({ workerId, now })?.nodes ?? 0;
}

const arg = sql.placeholder;
const ofNode = and(eq(blockedPorts.workerId, arg("workerId")), eq(blockedPorts.nodeId, arg("nodeId")));
const isAlive = and(
  eq(nodes.workerId, blockedPorts.workerId),
  eq(nodes.nodeId, blockedPorts.nodeId),
  gt(nodes.leaseUntil, arg("now")),
);
const counted = {
  nodes: sql<number>`count(*)`,
  since: sql<number>`max(${blockedPorts.since})`,
};

const selectOfNode = prepared((db) =>
  db.select({ port: blockedPorts.port }).from(blockedPorts).where(ofNode).prepare(),
);
const deleteOne = preparedWrite((db) =>
  db
    .delete(blockedPorts)
    .where(and(ofNode, eq(blockedPorts.port, arg("port"))))
    .prepare(),
);
const insertOne = preparedWrite((db) =>
  db.insert(blockedPorts).values(rowOf(blockedPorts)).onConflictDoNothing().prepare(),
);
const selectAll = prepared((db) =>
  db
    .select({ workerId: blockedPorts.workerId, port: blockedPorts.port, ...counted })
    .from(blockedPorts)
    .innerJoin(nodes, isAlive)
    .groupBy(blockedPorts.workerId, blockedPorts.port)
    .prepare(),
);
const selectOfWorker = prepared((db) =>
  db
    .select({ workerId: blockedPorts.workerId, port: blockedPorts.port, ...counted })
    .from(blockedPorts)
    .innerJoin(nodes, isAlive)
    .where(eq(blockedPorts.workerId, arg("workerId")))
    .groupBy(blockedPorts.workerId, blockedPorts.port)
    .prepare(),
);
const selectOfPort = prepared((db) =>
  db
    .select(counted)
    .from(blockedPorts)
    .innerJoin(nodes, isAlive)
    .where(and(eq(blockedPorts.workerId, arg("workerId")), eq(blockedPorts.port, arg("port"))))
    .prepare(),
);
/** Of free ports, for how many living nodes each is blocked; of all workers when none is named. */
const selectFreeOnes = prepared((db) =>
  db
    .select({ workerId: blockedPorts.workerId, nodes: counted.nodes })
    .from(blockedPorts)
    .innerJoin(nodes, isAlive)
    .innerJoin(freePorts, and(eq(freePorts.workerId, blockedPorts.workerId), eq(freePorts.port, blockedPorts.port)))
    .where(sql`coalesce(${arg("workerId")}, ${blockedPorts.workerId}) = ${blockedPorts.workerId}`)
    .groupBy(blockedPorts.workerId, blockedPorts.port)
    .prepare(),
);
