/** SQL of workers, their nodes, filters and free ports. */
import { and, asc, count, eq, gt, isNotNull, or, sql } from "drizzle-orm";
import type { ProxyProtocol } from "../../shared/protocol/schema/basics.ts";
import type { AppMode, FrontendMode } from "../../shared/protocol/schema/circuit.ts";
import type { RouteReports } from "../../shared/protocol/schema/health.ts";
import type { AppFilter, Worker, WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import { isoTime } from "../../shared/values.ts";
import type { Db } from "./open.ts";
import { prepared } from "./prepared.ts";
import { appFilters, circuits, nodes, workers } from "./schema.ts";
import { blockedOf, closedCounts } from "./blocked-ports.ts";
import { slotCounts } from "./slot-counts.ts";
import { slotsOf, syncFreePorts } from "./slots.ts";
import {
  clampSeen,
  countLiving,
  deleteExpired,
  deleteNode,
  selectFiltersOf,
  selectLivingNodes,
  selectNode,
  selectSilent,
  shortenLeases,
  updateSeen,
  upsertNode,
} from "./worker-statements.ts";

export type WorkerRow = typeof workers.$inferSelect;

export function getWorker(db: Db, id: string): WorkerRow | undefined {
  return selectById(db).get({ id });
}

export function listWorkers(db: Db): WorkerRow[] {
  return db.select().from(workers).orderBy(asc(workers.authority)).all();
}

/** Creates or renews the worker of an authority; its id, revision and circuits stay. */
export function upsertWorker(db: Db, wanted: WorkerRegistration, newId: string, now: number): WorkerRow {
  const values = {
    frontendMode: wanted.frontend_mode,
    protocol: wanted.protocol,
    hostname: wanted.hostname,
    tlsListen: wanted.tls_listen,
    tlsAdvertised: wanted.tls_advertised,
    apiPort: wanted.api_port,
    portLow: wanted.port_range?.[0] ?? null,
    portHigh: wanted.port_range?.[1] ?? null,
    wildcardDomain: wanted.wildcard_domain ?? null,
    wildcardTrafficPort: wanted.wildcard_traffic_port ?? null,
    acceptedTraffics: wanted.accepted_traffics,
    filteredAppsOnly: wanted.filtered_apps_only,
    traefikLastUsedMarkerPath: wanted.traefik_last_used_marker_path ?? null,
    isOriginal: wanted.node_id == null,
    status: "ALIVE" as const,
    lastSeenAt: now,
    updatedAt: now,
  };
  const row = db
    .insert(workers)
    .values({ id: newId, authority: wanted.authority, createdAt: now, ...values })
    .onConflictDoUpdate({ target: workers.authority, set: values })
    .returning()
    .get();
  replaceFilters(db, row.id, wanted.app_filters ?? []);
  syncFreePorts(db, row);
  return row;
}

/** What a node says of itself with a heartbeat; see the table's columns. */
export type Said = Pick<typeof nodes.$inferSelect, "revision" | "agrees" | "usageDelayed" | "routeReports">;

/** Renews a node's lease, and with it the worker's life. */
export function renewLease(
  db: Db,
  workerId: string,
  nodeId: string,
  said: Said,
  leaseUntil: number,
  now: number,
): void {
  const { revision, agrees, usageDelayed, routeReports } = said;
  upsertNode(db).run({
    workerId,
    nodeId,
    leaseUntil,
    revision,
    agrees: agrees === null ? null : Number(agrees),
    usageDelayed: Number(usageDelayed),
    routeReports: routeReports === null ? null : JSON.stringify(routeReports),
    registeredAt: now,
  });
  updateSeen(db).run({ workerId, now });
}

/** What the nodes with a live lease say of the kernels of model services. */
export function liveReports(db: Db, now: number): RouteReports[] {
  return db
    .select({ reports: nodes.routeReports })
    .from(nodes)
    .where(and(gt(nodes.leaseUntil, now), isNotNull(nodes.routeReports)))
    .all()
    .map(({ reports }) => reports ?? []);
}

/** Ends a node's lease; gives how many live ones the worker has left. */
export function endLease(db: Db, workerId: string, nodeId: string, now: number): number {
  deleteNode(db).run({ workerId, nodeId });
  return liveNodes(db, workerId, now);
}

export function hasNode(db: Db, workerId: string, nodeId: string): boolean {
  return selectNode(db).get({ workerId, nodeId }) !== undefined;
}

/** Whether a node has said that it could not write its users' activity. */
export function hasDelayedUsage(db: Db, workerId: string, nodeId: string): boolean {
  const said = db
    .select({ delayed: nodes.usageDelayed })
    .from(nodes)
    .where(and(eq(nodes.workerId, workerId), eq(nodes.nodeId, nodeId)))
    .get();
  return said?.delayed ?? false;
}

/** Nodes of the original's workers have no ids: they are one node per authority under this name. */
export const NAMELESS_NODE = "(unnamed)";

/** The ids of a worker's living nodes; the original's have none. */
export function livingNodes(db: Db, workerId: string, now: number): string[] {
  return selectLivingNodes(db)
    .all({ workerId, now })
    .map(({ id }) => id)
    .filter((id) => id !== NAMELESS_NODE);
}

/** How many nodes with a live lease serve a worker. */
export function liveNodes(db: Db, workerId: string, now: number): number {
  return countLiving(db).get({ workerId, now })?.nodes ?? 0;
}

export function setStatus(db: Db, workerId: string, status: WorkerRow["status"], now: number): void {
  db.update(workers).set({ status, updatedAt: now }).where(eq(workers.id, workerId)).run();
}

/** What a clock that was ahead has written would count for hours after it was set right. */
export function clampToNow(db: Db, now: number, lease: number): void {
  shortenLeases(db).run({ until: now + lease });
  clampSeen(db).run({ now });
}

/** Workers of whose circuits it is not known whether they are in use: nobody hears of them, or they had no Redis. */
export function unknownUse(db: Db, now: number): Set<string> {
  const lost = db.select({ id: workers.id }).from(workers).where(eq(workers.status, "LOST")).all();
  const delayed = db
    .selectDistinct({ id: nodes.workerId })
    .from(nodes)
    .where(and(eq(nodes.usageDelayed, true), gt(nodes.leaseUntil, now)))
    .all();
  return new Set([...lost, ...delayed].map(({ id }) => id));
}

export function dropExpiredNodes(db: Db, now: number): void {
  deleteExpired(db).run({ now });
}

/** Workers called alive that have no lease and were last heard of before `before`. */
export function silentWorkers(db: Db, before: number): WorkerRow[] {
  return selectSilent(db).all({ before });
}

/** A worker that may carry a new circuit. */
export interface Candidate {
  id: string;
  authority: string;
  status: "ALIVE" | "LOST" | "TERMINATED";
  protocol: ProxyProtocol;
  frontendMode: FrontendMode;
  acceptedTraffics: AppMode[];
  filteredAppsOnly: boolean;
  filters: AppFilter[];
  portLow: number | null;
  portHigh: number | null;
  /** Free ports; of no meaning in wildcard mode. */
  available: number;
  occupied: number;
}

/** A candidate with what finds it by a URL of one of its circuits. */
export interface LivingWorker extends Candidate {
  hostname: string;
  wildcardDomain: string | null;
}

/** All living workers as placement sees them. */
export function candidates(db: Db, now: number): LivingWorker[] {
  const rows = selectLiving(db).all();
  const closed = closedCounts(db, now);
  const filters = Map.groupBy(selectFilters(db).all(), (one) => one.workerId);
  return rows.map((row) => {
    const { available, occupied } = slotCounts(db, row);
    return { ...row, available: available - (closed.get(row.id) ?? 0), occupied, filters: filters.get(row.id) ?? [] };
  });
}

/** The worker as the API shows it, with every slot. */
export function toWorker(db: Db, row: WorkerRow, now: number): Worker {
  return { ...toBriefWorker(db, row, now), slots: slotsOf(db, row, now) };
}

/** The same without the list of its slots: of 6,000 it is 680 KB. */
export function toBriefWorker(db: Db, row: WorkerRow, now: number): Omit<Worker, "slots"> {
  const { available, occupied } = slotCounts(db, row);
  return {
    id: row.id,
    authority: row.authority,
    frontend_mode: row.frontendMode,
    protocol: row.protocol,
    hostname: row.hostname,
    tls_listen: row.tlsListen,
    tls_advertised: row.tlsAdvertised,
    api_port: row.apiPort,
    port_range: row.portLow === null || row.portHigh === null ? null : [row.portLow, row.portHigh],
    wildcard_domain: row.wildcardDomain,
    wildcard_traffic_port: row.wildcardTrafficPort,
    accepted_traffics: row.acceptedTraffics,
    filtered_apps_only: row.filteredAppsOnly,
    app_filters: selectFiltersOf(db).all({ workerId: row.id }),
    traefik_last_used_marker_path: row.traefikLastUsedMarkerPath,
    status: row.status,
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
    available_slots:
      row.frontendMode === "wildcard" ? -1 : available - (closedCounts(db, now, row.id).get(row.id) ?? 0),
    occupied_slots: occupied,
    blocked_slots: blockedOf(db, now, row.id).length,
    nodes: liveNodes(db, row.id, now),
    revision: row.revision,
    digest: row.digest,
  };
}

/** How many workers there are of each status. */
export function workerStatuses(db: Db): Record<WorkerRow["status"], number> {
  const rows = db.select({ status: workers.status, workers: count() }).from(workers).groupBy(workers.status).all();
  return { ALIVE: 0, LOST: 0, TERMINATED: 0, ...Object.fromEntries(rows.map((row) => [row.status, row.workers])) };
}

/** How many circuits each worker carries, by its id. */
export function circuitCounts(db: Db): Map<string, number> {
  const rows = db.select({ id: circuits.workerId, circuits: count() }).from(circuits).groupBy(circuits.workerId).all();
  return new Map(rows.map((row) => [row.id, row.circuits]));
}

/** Where browsers and operators reach a worker's own API. */
export function apiUrl(worker: WorkerRow): string {
  const host = worker.hostname.includes(":") ? `[${worker.hostname}]` : worker.hostname;
  return `${worker.tlsAdvertised || worker.tlsListen ? "https" : "http"}://${host}:${worker.apiPort}`;
}

/** Workers by id or authority; all when no name is given. */
export function findWorkers(db: Db, name?: string): WorkerRow[] {
  if (name === undefined) return listWorkers(db);
  return db
    .select()
    .from(workers)
    .where(or(eq(workers.id, name.toLowerCase()), eq(workers.authority, name)))
    .all();
}

// --- internal ---

const selectById = prepared((db) =>
  db
    .select()
    .from(workers)
    .where(eq(workers.id, sql.placeholder("id")))
    .prepare(),
);
const selectFilters = prepared((db) => db.select().from(appFilters).prepare());
const selectLiving = prepared((db) =>
  db
    .select({
      id: workers.id,
      authority: workers.authority,
      status: workers.status,
      protocol: workers.protocol,
      frontendMode: workers.frontendMode,
      acceptedTraffics: workers.acceptedTraffics,
      filteredAppsOnly: workers.filteredAppsOnly,
      portLow: workers.portLow,
      portHigh: workers.portHigh,
      hostname: workers.hostname,
      wildcardDomain: workers.wildcardDomain,
      revision: workers.revision,
      digest: workers.digest,
    })
    .from(workers)
    .where(eq(workers.status, "ALIVE"))
    .prepare(),
);

function replaceFilters(db: Db, workerId: string, filters: { key: string; value: string }[]): void {
  db.delete(appFilters).where(eq(appFilters.workerId, workerId)).run();
  for (const { key, value } of filters)
    db.insert(appFilters).values({ workerId, key, value }).onConflictDoNothing().run();
}
