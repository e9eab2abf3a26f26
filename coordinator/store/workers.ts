/** SQL of workers, their filters and free ports. */
import { and, asc, count, eq, gt, or, sql } from "drizzle-orm";
import { asciiHost } from "../../shared/http/host.ts";
import type { ProxyProtocol } from "../../shared/protocol/schema/basics.ts";
import type { AppMode, FrontendMode } from "../../shared/protocol/schema/circuit.ts";
import type { AppFilter, Worker, WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import { isoTime } from "../../shared/values.ts";
import { readerOf, writerOf } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import { prepared } from "./prepared.ts";
import { appFilters, circuits, nodes, workers } from "./schema.ts";
import { blockedOf, closedCounts } from "./blocked-ports.ts";
import { slotCounts } from "./slot-counts.ts";
import { slotsOf, syncFreePorts } from "./slots.ts";
import { liveNodes } from "./nodes.ts";
import { clampSeen, selectFiltersOf, selectSilent, shortenLeases } from "./worker-statements.ts";

export type WorkerRow = typeof workers.$inferSelect;

export function getWorker(q: Query, id: string): WorkerRow | undefined {
  return selectById(q).get({ id });
}

/** The authority of a worker: nothing else of it is read. */
export function authorityOf(q: Query, id: string): string | undefined {
  return selectAuthority(q).get({ id })?.authority;
}

/** The worker of an authority. */
export function workerOf(q: Query, authority: string): WorkerRow | undefined {
  return readerOf(q).select().from(workers).where(eq(workers.authority, authority)).get();
}

export function listWorkers(q: Query): WorkerRow[] {
  return readerOf(q).select().from(workers).orderBy(asc(workers.authority)).all();
}

/** Creates or renews the worker of an authority; its id, revision and circuits stay. */
export function upsertWorker(tx: Tx, wanted: WorkerRegistration, newId: string, now: number): WorkerRow {
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
  const row = writerOf(tx)
    .insert(workers)
    .values({ id: newId, authority: wanted.authority, createdAt: now, ...values })
    .onConflictDoUpdate({ target: workers.authority, set: values })
    .returning()
    .get();
  replaceFilters(tx, row.id, wanted.app_filters ?? []);
  syncFreePorts(tx, row);
  return row;
}

export function setStatus(tx: Tx, workerId: string, status: WorkerRow["status"], now: number): void {
  writerOf(tx).update(workers).set({ status, updatedAt: now }).where(eq(workers.id, workerId)).run();
}

/** What a clock that was ahead has written would count for hours after it was set right. */
export function clampToNow(tx: Tx, now: number, lease: number): void {
  shortenLeases(tx).run({ until: now + lease });
  clampSeen(tx).run({ now });
}

/** Workers of whose circuits it is not known whether they are in use: nobody hears of them, or they had no Redis. */
export function unknownUse(q: Query, now: number): Set<string> {
  const lost = readerOf(q).select({ id: workers.id }).from(workers).where(eq(workers.status, "LOST")).all();
  const delayed = readerOf(q)
    .selectDistinct({ id: nodes.workerId })
    .from(nodes)
    .where(and(eq(nodes.usageDelayed, true), gt(nodes.leaseUntil, now)))
    .all();
  return new Set([...lost, ...delayed].map(({ id }) => id));
}

/** Workers called alive that have no lease and were last heard of before `before`. */
export function silentWorkers(q: Query, before: number): WorkerRow[] {
  return selectSilent(q).all({ before });
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
export function candidates(q: Query, now: number): LivingWorker[] {
  const rows = selectLiving(q).all();
  const closed = closedCounts(q, now);
  const filters = Map.groupBy(selectFilters(q).all(), (one) => one.workerId);
  return rows.map((row) => {
    const { available, occupied } = slotCounts(q, row);
    return { ...row, available: available - (closed.get(row.id) ?? 0), occupied, filters: filters.get(row.id) ?? [] };
  });
}

/** The worker as the API shows it, with every slot. */
export function toWorker(q: Query, row: WorkerRow, now: number): Worker {
  return { ...toBriefWorker(q, row, now), slots: slotsOf(q, row, now) };
}

/** The same without the list of its slots: of 6,000 it is 680 KB. */
export function toBriefWorker(q: Query, row: WorkerRow, now: number): Omit<Worker, "slots"> {
  const { available, occupied } = slotCounts(q, row);
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
    app_filters: selectFiltersOf(q).all({ workerId: row.id }),
    traefik_last_used_marker_path: row.traefikLastUsedMarkerPath,
    status: row.status,
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
    available_slots: row.frontendMode === "wildcard" ? -1 : available - (closedCounts(q, now, row.id).get(row.id) ?? 0),
    occupied_slots: occupied,
    blocked_slots: blockedOf(q, now, row.id).length,
    nodes: liveNodes(q, row.id, now),
    revision: row.revision,
    digest: row.digest,
  };
}

/** How many workers there are of each status. */
export function workerStatuses(q: Query): Record<WorkerRow["status"], number> {
  const rows = readerOf(q)
    .select({ status: workers.status, workers: count() })
    .from(workers)
    .groupBy(workers.status)
    .all();
  return { ALIVE: 0, LOST: 0, TERMINATED: 0, ...Object.fromEntries(rows.map((row) => [row.status, row.workers])) };
}

/** How many circuits each worker carries, by its id. */
export function circuitCounts(q: Query): Map<string, number> {
  const rows = readerOf(q)
    .select({ id: circuits.workerId, circuits: count() })
    .from(circuits)
    .groupBy(circuits.workerId)
    .all();
  return new Map(rows.map((row) => [row.id, row.circuits]));
}

/** Where browsers and operators reach a worker's own API. */
export function apiUrl(worker: WorkerRow): string {
  return `${worker.tlsAdvertised || worker.tlsListen ? "https" : "http"}://${asciiHost(worker.hostname)}:${worker.apiPort}`;
}

/** Workers by id or authority; all when no name is given. */
export function findWorkers(q: Query, name?: string): WorkerRow[] {
  if (name === undefined) return listWorkers(q);
  return readerOf(q)
    .select()
    .from(workers)
    .where(or(eq(workers.id, name.toLowerCase()), eq(workers.authority, name)))
    .all();
}

// --- internal ---

const selectAuthority = prepared((db) =>
  db
    .select({ authority: workers.authority })
    .from(workers)
    .where(eq(workers.id, sql.placeholder("id")))
    .prepare(),
);
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

function replaceFilters(tx: Tx, workerId: string, filters: { key: string; value: string }[]): void {
  writerOf(tx).delete(appFilters).where(eq(appFilters.workerId, workerId)).run();
  for (const { key, value } of filters)
    writerOf(tx).insert(appFilters).values({ workerId, key, value }).onConflictDoNothing().run();
}
