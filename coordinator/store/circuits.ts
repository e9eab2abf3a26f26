/**
 * SQL of circuits, their slots and change records. Every function that writes must run inside `write()`:
 * circuit, slot and change record are one transaction.
 */
import { and, eq, sql } from "drizzle-orm";
import { circuitHash } from "../../shared/protocol/digest.ts";
import type { Circuit, Route } from "../../shared/protocol/schema/circuit.ts";
import { isoTime } from "../../shared/values.ts";
import type { Use } from "./circuit-queries.ts";
import { occupy, type Before } from "./occupants.ts";
import { write, type Db } from "./open.ts";
import { circuits, freePorts, type ChangeKind, type circuitRoutes } from "./schema.ts";
import {
  deleteFree,
  deleteRow,
  incrementRevision,
  insertChange,
  insertFree,
  insertRow,
  deleteRoute,
  insertRoute,
  mixDigest,
  updateAcknowledged,
  updateContent,
  updateSlot,
  updateUsed,
  updateUse,
} from "./circuit-statements.ts";

export type CircuitRow = typeof circuits.$inferSelect;
/** All that a circuit needs before it has a revision and a slot. */
export type NewCircuit = Omit<CircuitRow, "revision" | keyof Before>;

/** What caused a change. */
export interface Cause {
  requestId: string | null;
  now: number;
}

/** Records a new circuit, takes its port from the free ones, and writes the change. */
export function insertCircuit(db: Db, fresh: NewCircuit, cause: Cause): CircuitRow {
  const revision = nextRevision(db, fresh.workerId);
  const row: CircuitRow = { ...fresh, ...occupy(db, fresh, fresh.userId, cause.now), revision };
  insertRow(db).run(row);
  for (const leads of leadsOf(row).values()) insertRoute(db).run(leads);
  putIn(db, row);
  takePort(db, row);
  recordChange(db, row, "created", cause);
  return row;
}

/** Forgets a circuit and frees its slot. */
export function removeCircuit(
  db: Db,
  row: CircuitRow,
  cause: Cause,
  kind: Extract<ChangeKind, "removed" | "withdrawn"> = "removed",
): void {
  const removed = { ...row, revision: nextRevision(db, row.workerId) };
  recordChange(db, removed, kind, cause);
  takeOut(db, row);
  deleteRow(db).run({ id: row.id });
  releasePort(db, row, cause.now);
}

/**
 * Gives a circuit another slot, perhaps at another worker: removed there, created here. One that has `served` anywhere is
 * not taken back when the new worker is late: what it leads to would be lost with it.
 */
export function moveCircuit(
  db: Db,
  row: CircuitRow,
  slot: Pick<NewCircuit, "workerId" | "frontendMode" | "port" | "subdomain">,
  served: boolean,
  cause: Cause,
): CircuitRow {
  recordChange(db, { ...row, revision: nextRevision(db, row.workerId) }, "removed", cause);
  takeOut(db, row);
  const revision = nextRevision(db, slot.workerId);
  const before = occupy(db, slot, row.userId, cause.now);
  const moved = updateSlot(db).get({
    id: row.id,
    workerId: slot.workerId,
    frontendMode: slot.frontendMode,
    port: slot.port,
    subdomain: slot.subdomain,
    revision,
    recycledAt: before.recycledAt,
    blocksServiceWorkers: before.blocksServiceWorkers ? 1 : 0,
    acknowledgedAt: served ? (row.acknowledgedAt ?? cause.now) : null,
    updatedAt: cause.now,
  });
  putIn(db, moved);
  releasePort(db, row, cause.now);
  takePort(db, moved);
  recordChange(db, moved, "created", cause);
  return moved;
}

/** What can change of a circuit that stays where it is. */
export type Content = Pick<
  CircuitRow,
  "routeInfo" | "openToPublic" | "runtimeVariant" | "healthCheck" | "allowedOrigins"
>;

/** Points a circuit at other kernels. */
export function updateRoutes(db: Db, row: CircuitRow, routeInfo: Route[], cause: Cause): CircuitRow {
  return updateCircuit(db, row, { routeInfo }, cause);
}

/** Changes what a circuit is; its worker is told with an event of its routes, which carries all of it. */
export function updateCircuit(db: Db, row: CircuitRow, change: Partial<Content>, cause: Cause): CircuitRow {
  const revision = nextRevision(db, row.workerId);
  const updated: CircuitRow = { ...row, ...change, revision, updatedAt: cause.now };
  updateContent(db).run({
    id: row.id,
    revision,
    updatedAt: cause.now,
    routeInfo: JSON.stringify(updated.routeInfo),
    openToPublic: updated.openToPublic ? 1 : 0,
    runtimeVariant: updated.runtimeVariant,
    allowedOrigins: updated.allowedOrigins,
    healthCheck: updated.healthCheck === null ? null : JSON.stringify(updated.healthCheck),
  });
  takeOut(db, row);
  putIn(db, updated);
  if (change.routeInfo !== undefined) moveRoutes(db, row, updated);
  recordChange(db, updated, "routes", cause);
  return updated;
}

/** Notes that circuits are in use, with what Redis says of it; nobody has to be told of that. */
export function noteUses(db: Db, uses: readonly Use[], now: number): void {
  write(db, (tx) => {
    for (const use of uses) updateUse(tx).run({ ...use, now });
  });
}

/** Notes that circuits are asked for. */
export function touchAll(db: Db, ids: readonly string[], now: number): void {
  updateUsed(db).run({ ids: JSON.stringify(ids), now });
}

export function subdomainTaken(db: Db, workerId: string, subdomain: string): boolean {
  return (
    db
      .select({ one: sql`1` })
      .from(circuits)
      .where(and(eq(circuits.workerId, workerId), eq(circuits.subdomain, subdomain)))
      .get() !== undefined
  );
}

export function isFreePort(db: Db, workerId: string, port: number): boolean {
  return (
    db
      .select({ port: freePorts.port })
      .from(freePorts)
      .where(and(eq(freePorts.workerId, workerId), eq(freePorts.port, port)))
      .get() !== undefined
  );
}

/** Notes acknowledgements (circuit id → what was acknowledged) in one transaction. */
export function markAcknowledged(
  db: Db,
  acknowledged: ReadonlyMap<string, { workerId: string; revision: number | null }>,
  now: number,
): void {
  write(db, (tx) => {
    for (const [id, state] of acknowledged) updateAcknowledged(tx).run({ id, ...state, now });
  });
}

/** The circuit as it travels. */
export function toCircuit(row: CircuitRow): Circuit {
  return {
    id: row.id,
    app: row.app,
    protocol: row.protocol,
    worker: row.workerId,
    app_mode: row.appMode,
    frontend_mode: row.frontendMode,
    envs: row.envs,
    arguments: row.arguments,
    open_to_public: row.openToPublic,
    allowed_client_ips: row.allowedClientIps,
    port: row.port,
    subdomain: row.subdomain,
    user_id: row.userId,
    endpoint_id: row.endpointId,
    runtime_variant: row.runtimeVariant,
    route_info: row.routeInfo,
    session_ids: [...new Set(row.routeInfo.map((route) => route.session_id))],
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
    origin_request_id: row.originRequestId,
    revision: row.revision,
    ...(row.recycledAt === null ? {} : { recycled_at: isoTime(row.recycledAt) }),
    ...(row.blocksServiceWorkers ? { service_workers: "blocked" as const } : {}),
    ...(row.healthCheck === null ? {} : { health_check: row.healthCheck }),
    ...(row.allowedOrigins === null ? {} : { allowed_origins: row.allowedOrigins }),
  };
}

// --- internal ---

/** The next number of a worker's changes. */
function nextRevision(db: Db, workerId: string): number {
  return incrementRevision(db).get({ workerId }).revision;
}

function recordChange(db: Db, row: CircuitRow, kind: ChangeKind, cause: Cause): void {
  insertChange(db).run({
    workerId: row.workerId,
    revision: row.revision,
    kind,
    circuitId: row.id,
    circuit: toCircuit(row),
    requestId: cause.requestId,
    createdAt: cause.now,
    publishedAt: null,
  });
}

/** The circuit as it is now counts in its worker's digest. */
function putIn(db: Db, { id, workerId, revision, updatedAt }: CircuitRow): void {
  mixDigest(db).run({ workerId, hash: circuitHash({ id, revision, updated_at: isoTime(updatedAt) }) });
}

/** The circuit as it was counts no more. */
const takeOut = putIn;

/** Where a circuit leads to, each once. */
function leadsOf({ id: circuitId, routeInfo }: CircuitRow): Map<string, typeof circuitRoutes.$inferSelect> {
  const keyed = routeInfo.map(({ session_id: sessionId, kernel_host: kernelHost, kernel_port: kernelPort }) => {
    return [`${sessionId} ${kernelHost} ${kernelPort}`, { circuitId, sessionId, kernelHost, kernelPort }] as const;
  });
  return new Map(keyed);
}

function moveRoutes(db: Db, before: CircuitRow, after: CircuitRow): void {
  const [old, now] = [leadsOf(before), leadsOf(after)];
  for (const [key, leads] of now) if (!old.has(key)) insertRoute(db).run(leads);
  for (const [key, leads] of old) if (!now.has(key)) deleteRoute(db).run(leads);
}

function takePort(db: Db, row: CircuitRow): void {
  if (row.port === null) return;
  deleteFree(db).run({ workerId: row.workerId, port: row.port });
}

/** The port goes to the end of the queue, when it is still in the worker's range. */
function releasePort(db: Db, row: CircuitRow, now: number): void {
  if (row.port === null) return;
  insertFree(db).run({ workerId: row.workerId, port: row.port, now });
}
