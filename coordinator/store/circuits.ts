/**
 * SQL of circuits, their slots and change records. Circuit, slot and change record are one
 * transaction, and what was done is noted in it.
 */
import { and, eq, sql } from "drizzle-orm";
import { circuitHash } from "../../shared/protocol/digest.ts";
import type { Circuit, Route } from "../../shared/protocol/schema/circuit.ts";
import { isoTime } from "../../shared/values.ts";
import type { Use } from "./circuit-queries.ts";
import { occupy, vacate, type Before } from "./occupants.ts";
import { readerOf } from "./session.ts";
import type { EndReason } from "./recorded.ts";
import type { Query, Tx } from "./store.ts";
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
  touchUsed,
  recordUse,
} from "./circuit-statements.ts";

export type CircuitRow = typeof circuits.$inferSelect;
/** All that a circuit needs before it has a revision and a slot. */
export type NewCircuit = Omit<CircuitRow, "revision" | keyof Before>;

/** Records a new circuit, takes its port from the free ones, and writes the change. */
export function insertCircuit(tx: Tx, fresh: NewCircuit): CircuitRow {
  const revision = nextRevision(tx, fresh.workerId);
  const row: CircuitRow = { ...fresh, ...occupy(tx, fresh, fresh.userId), revision };
  insertRow(tx).run(row);
  for (const leads of leadsOf(row).values()) insertRoute(tx).run(leads);
  toggleDigest(tx, row);
  takePort(tx, row);
  recordChange(tx, row, "created");
  tx.recorded.push({ kind: "created", by: tx.cause, row });
  return row;
}

/** Forgets a circuit and frees its slot. */
export function removeCircuit(tx: Tx, row: CircuitRow, why: EndReason): void {
  const removed = { ...row, revision: nextRevision(tx, row.workerId) };
  recordChange(tx, removed, why === "withdrawn" ? "withdrawn" : "removed");
  toggleDigest(tx, row);
  deleteRow(tx).run({ id: row.id });
  releasePort(tx, row);
  tx.recorded.push({ kind: "removed", by: tx.cause, row, why });
}

/**
 * Gives a circuit another slot, perhaps at another worker: removed there, created here. One that has `served` anywhere is
 * not taken back when the new worker is late: what it leads to would be lost with it.
 */
export function moveCircuit(
  tx: Tx,
  row: CircuitRow,
  slot: Pick<NewCircuit, "workerId" | "frontendMode" | "port" | "subdomain">,
  served: boolean,
): CircuitRow {
  const { now } = tx.cause;
  recordChange(tx, { ...row, revision: nextRevision(tx, row.workerId) }, "removed");
  toggleDigest(tx, row);
  const revision = nextRevision(tx, slot.workerId);
  const before = occupy(tx, slot, row.userId);
  const moved = updateSlot(tx).get({
    id: row.id,
    workerId: slot.workerId,
    frontendMode: slot.frontendMode,
    port: slot.port,
    subdomain: slot.subdomain,
    revision,
    recycledAt: before.recycledAt,
    blocksServiceWorkers: before.blocksServiceWorkers ? 1 : 0,
    acknowledgedAt: served ? (row.acknowledgedAt ?? now) : null,
    updatedAt: now,
  });
  toggleDigest(tx, moved);
  releasePort(tx, row);
  takePort(tx, moved);
  recordChange(tx, moved, "created");
  tx.recorded.push({ kind: "moved", by: tx.cause, row, now: moved });
  return moved;
}

/** What can change of a circuit that stays where it is. */
export type Content = Pick<
  CircuitRow,
  "routeInfo" | "openToPublic" | "runtimeVariant" | "healthCheck" | "allowedOrigins"
>;

/** Points a circuit at other kernels. */
export function updateRoutes(
  tx: Tx,
  row: CircuitRow,
  routeInfo: Route[],
  why: EndReason | "routes-set" = "routes-set",
): CircuitRow {
  return updateCircuit(tx, row, { routeInfo }, why);
}

/** Changes what a circuit is; its worker is told with an event of its routes, which carries all of it. */
export function updateCircuit(
  tx: Tx,
  row: CircuitRow,
  change: Partial<Content>,
  why: EndReason | "routes-set" | null = null,
): CircuitRow {
  const { now } = tx.cause;
  const revision = nextRevision(tx, row.workerId);
  const updated: CircuitRow = { ...row, ...change, revision, updatedAt: now };
  updateContent(tx).run({
    id: row.id,
    revision,
    updatedAt: now,
    routeInfo: JSON.stringify(updated.routeInfo),
    openToPublic: updated.openToPublic ? 1 : 0,
    runtimeVariant: updated.runtimeVariant,
    allowedOrigins: updated.allowedOrigins,
    healthCheck: updated.healthCheck === null ? null : JSON.stringify(updated.healthCheck),
  });
  toggleDigest(tx, row);
  toggleDigest(tx, updated);
  if (change.routeInfo !== undefined) moveRoutes(tx, row, updated);
  recordChange(tx, updated, "routes");
  tx.recorded.push({ kind: "updated", by: tx.cause, row, now: updated, why });
  return updated;
}

/** Notes that circuits are in use, with what Redis says of it; nobody has to be told of that. */
export function noteUses(tx: Tx, uses: readonly Use[]): void {
  for (const use of uses) recordUse(tx).run({ ...use, now: tx.cause.now });
}

/** Notes that circuits are asked for. */
export function touchAll(tx: Tx, ids: readonly string[]): void {
  touchUsed(tx).run({ ids: JSON.stringify(ids), now: tx.cause.now });
}

export function subdomainTaken(q: Query, workerId: string, subdomain: string): boolean {
  return (
    readerOf(q)
      .select({ one: sql`1` })
      .from(circuits)
      .where(and(eq(circuits.workerId, workerId), eq(circuits.subdomain, subdomain)))
      .get() !== undefined
  );
}

export function isFreePort(q: Query, workerId: string, port: number): boolean {
  return (
    readerOf(q)
      .select({ port: freePorts.port })
      .from(freePorts)
      .where(and(eq(freePorts.workerId, workerId), eq(freePorts.port, port)))
      .get() !== undefined
  );
}

/** Notes acknowledgements: circuit id → what was acknowledged. */
export function markAcknowledged(
  tx: Tx,
  acknowledged: ReadonlyMap<string, { workerId: string; revision: number | null }>,
): void {
  for (const [id, state] of acknowledged) updateAcknowledged(tx).run({ id, ...state, now: tx.cause.now });
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
function nextRevision(tx: Tx, workerId: string): number {
  return incrementRevision(tx).get({ workerId }).revision;
}

function recordChange(tx: Tx, row: CircuitRow, kind: ChangeKind): void {
  insertChange(tx).run({
    workerId: row.workerId,
    revision: row.revision,
    kind,
    circuitId: row.id,
    circuit: toCircuit(row),
    requestId: tx.cause.requestId,
    createdAt: tx.cause.now,
    publishedAt: null,
  });
}

/** Puts a circuit's state into its worker's digest, or takes it out: the same operation (XOR). */
function toggleDigest(tx: Tx, { id, workerId, revision, updatedAt }: CircuitRow): void {
  mixDigest(tx).run({ workerId, hash: circuitHash({ id, revision, updated_at: isoTime(updatedAt) }) });
}

/** Where a circuit leads to, each once. */
function leadsOf({ id: circuitId, routeInfo }: CircuitRow): Map<string, typeof circuitRoutes.$inferSelect> {
  const keyed = routeInfo.map(({ session_id: sessionId, kernel_host: kernelHost, kernel_port: kernelPort }) => {
    return [`${sessionId} ${kernelHost} ${kernelPort}`, { circuitId, sessionId, kernelHost, kernelPort }] as const;
  });
  return new Map(keyed);
}

function moveRoutes(tx: Tx, before: CircuitRow, after: CircuitRow): void {
  const [old, now] = [leadsOf(before), leadsOf(after)];
  for (const [key, leads] of now) if (!old.has(key)) insertRoute(tx).run(leads);
  for (const [key, leads] of old) if (!now.has(key)) deleteRoute(tx).run(leads);
}

function takePort(tx: Tx, row: CircuitRow): void {
  if (row.port === null) return;
  deleteFree(tx).run({ workerId: row.workerId, port: row.port });
}

/** The port goes to the end of the queue, when it is still in the worker's range. */
function releasePort(tx: Tx, row: CircuitRow): void {
  if (row.port === null) return;
  insertFree(tx).run({ workerId: row.workerId, port: row.port, now: tx.cause.now });
  vacate(tx, row);
}
