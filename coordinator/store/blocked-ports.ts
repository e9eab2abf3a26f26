/**
 * SQL of blocked ports: those that a worker's node can't open, because another process of its machine has them. One that
 * all living nodes of its worker can't open carries nobody; one that only some of them can't open is the last choice.
 */
import { and, eq, gt, sql } from "drizzle-orm";
import type { Db } from "./open.ts";
import { prepared, rowOf } from "./prepared.ts";
import { blockedPorts, freePorts, nodes } from "./schema.ts";
import { countLiving, selectNode } from "./worker-statements.ts";

/** Takes what a node says: all of its blocked ports. Gives those that are new. */
export function replaceBlocked(
  db: Db,
  workerId: string,
  nodeId: string,
  ports: readonly number[],
  now: number,
): number[] {
  const known = new Set(selectOfNode(db).all({ workerId, nodeId }).map(({ port }) => port)); // prettier-ignore
  const said = new Set(ports);
  for (const port of known) if (!said.has(port)) deleteOne(db).run({ workerId, nodeId, port });
  const fresh = [...said].filter((port) => !known.has(port));
  addBlocked(db, workerId, nodeId, fresh, now);
  return fresh;
}

/** Whether that is what is known already: no heartbeat is to write for nothing. */
export function saysNothingNew(db: Db, workerId: string, nodeId: string, ports: readonly number[]): boolean {
  const known = selectOfNode(db).all({ workerId, nodeId });
  const said = new Set(ports);
  return known.length === said.size && known.every(({ port }) => said.has(port));
}

/** A node can't open these ports either. */
export function addBlocked(db: Db, workerId: string, nodeId: string, ports: readonly number[], now: number): void {
  // One that is not known any more has nothing to say.
  if (ports.length === 0 || selectNode(db).get({ workerId, nodeId }) === undefined) return;
  for (const port of ports) insertOne(db).run({ workerId, nodeId, port, since: now });
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
export function blockedOf(db: Db, now: number, workerId: string | null = null): Blocked[] {
  return workerId === null ? selectAll(db).all({ now }) : selectOfWorker(db).all({ now, workerId });
}

/** How many nodes of the worker can't open a port, and since when it can't be opened at all; null when it can. */
export function blockedAt(
  db: Db,
  workerId: string,
  port: number,
  now: number,
): { nodes: number; wholly: number | null } {
  const found = selectOfPort(db).get({ workerId, port, now });
  if (found === undefined || found.nodes === 0) return { nodes: 0, wholly: null };
  return { nodes: found.nodes, wholly: found.nodes >= liveNodes(db, workerId, now) ? found.since : null };
}

/** How many free ports of each worker, or of one, can't be opened at all. */
export function closedCounts(db: Db, now: number, of: string | null = null): Map<string, number> {
  // Each placement asks, and a range that another process has is thousands of rows: one query, not one a port.
  const byWorker = Map.groupBy(selectFreeOnes(db).all({ now, workerId: of }), ({ workerId }) => workerId);
  const counts = [...byWorker].map(([workerId, ports]) => {
    const living = liveNodes(db, workerId, now);
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

function liveNodes(db: Db, workerId: string, now: number): number {
  return countLiving(db).get({ workerId, now })?.nodes ?? 0;
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
const deleteOne = prepared((db) =>
  db
    .delete(blockedPorts)
    .where(and(ofNode, eq(blockedPorts.port, arg("port"))))
    .prepare(),
);
const insertOne = prepared((db) => db.insert(blockedPorts).values(rowOf(blockedPorts)).onConflictDoNothing().prepare());
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
