/** SQL that finds circuits: by what they are, whose they are, where they are. What writes is in circuits.ts. */
import { and, asc, count, desc, eq, gt, gte, inArray, isNotNull, lt, or, type SQL } from "drizzle-orm";
import { asciiHost } from "../../shared/http/host.ts";
import { kernelHost } from "../../shared/http/kernel.ts";
import type { ProxyProtocol } from "../../shared/protocol/schema/basics.ts";
import type { AppMode } from "../../shared/protocol/schema/circuit.ts";
import { readerOf } from "./session.ts";
import type { Query } from "./store.ts";
import { changes, circuits, circuitRoutes, workers } from "./schema.ts";
import {
  countOfSession,
  countOfUser,
  selectByEndpoint,
  selectById,
  selectHold,
  selectInteractive,
  selectReusable,
} from "./circuit-statements.ts";
import type { CircuitRow } from "./circuits.ts";

export interface ReuseKey {
  sessionId: string;
  app: string;
  protocol: ProxyProtocol;
  openToPublic: boolean;
  allowedClientIps: string | null;
}

export interface CircuitFilter {
  originRequestId?: string | undefined;
  sessionId?: string | undefined;
  app?: string | undefined;
  /** A worker's id or authority. */
  worker?: string | undefined;
  port?: number | undefined;
  subdomain?: string | undefined;
  /** A worker's, with the circuit's port, or a name under a wildcard domain, with any. */
  host?: { host: string; port: number | null } | undefined;
  userId?: string | undefined;
  kernel?: { host: string; port: number | null } | undefined;
  /** When it was made: epoch milliseconds, the second not included. */
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
}

/** A place in the order of circuits; the circuit itself may be gone. */
export type CircuitPlace = Pick<CircuitRow, "createdAt" | "id">;

export function getCircuit(q: Query, id: string): CircuitRow | undefined {
  return selectById(q).get({ id });
}

/** The circuit of a model service. */
export function circuitOfEndpoint(q: Query, endpointId: string): CircuitRow | undefined {
  return selectByEndpoint(q).get({ endpointId });
}

/** Whether the last word about a circuit at a worker is that it was taken back: nobody has ever served it. */
export function wasWithdrawn(q: Query, workerId: string, circuitId: string): boolean {
  const last = readerOf(q)
    .select({ kind: changes.kind })
    .from(changes)
    .where(and(eq(changes.workerId, workerId), eq(changes.circuitId, circuitId)))
    .orderBy(desc(changes.revision))
    .limit(1)
    .get();
  return last?.kind === "withdrawn";
}

/** The circuits of all model services. */
export function inferenceCircuits(q: Query): CircuitRow[] {
  return readerOf(q)
    .select()
    .from(circuits)
    .where(isNotNull(circuits.endpointId))
    .orderBy(asc(circuits.endpointId))
    .all();
}

/** The oldest circuit that a request with this key may share. */
export function findReusable(q: Query, { openToPublic, ...key }: ReuseKey): CircuitRow | undefined {
  return selectReusable(q).get({ ...key, openToPublic: Number(openToPublic) })?.circuit;
}

/** The circuits of a session, by app when one is named. */
export function circuitsOfSession(q: Query, sessionId: string, app?: string): CircuitRow[] {
  const ids = readerOf(q)
    .select({ id: circuitRoutes.circuitId })
    .from(circuitRoutes)
    .where(eq(circuitRoutes.sessionId, sessionId));
  return readerOf(q)
    .select()
    .from(circuits)
    .where(and(inArray(circuits.id, ids), app === undefined ? undefined : eq(circuits.app, app)))
    .all();
}

/** How many interactive circuits a person has. */
export function circuitsHeldByUser(q: Query, userId: string): number {
  return countOfUser(q).get({ userId })?.circuits ?? 0;
}

/** How many interactive circuits lead to a session. */
export function circuitsHeldBySession(q: Query, sessionId: string): number {
  return countOfSession(q).get({ sessionId })?.circuits ?? 0;
}

/** Whether a session has circuits or tokens. */
export function holdsAnything(q: Query, sessionId: string): boolean {
  return selectHold(q).get({ sessionId }) !== undefined;
}

export function circuitsOfWorker(q: Query, workerId: string): CircuitRow[] {
  return readerOf(q)
    .select()
    .from(circuits)
    .where(eq(circuits.workerId, workerId))
    .orderBy(asc(circuits.createdAt))
    .all();
}

/** What the collector needs of a circuit. */
export type Idle = Pick<CircuitRow, "id" | "workerId" | "usedAt" | "lastAccess">;
/** What Redis says of a circuit's last use, epoch seconds. */
export type Use = Pick<CircuitRow, "id" | "lastAccess">;

/** Interactive circuits by id, after one id. */
export function interactivePage(q: Query, after: string, limit: number): Idle[] {
  return selectInteractive(q).all({ after, limit });
}

/** How many circuits there are of each mode. */
export function circuitModes(q: Query): Record<AppMode, number> {
  const rows = readerOf(q)
    .select({ mode: circuits.appMode, circuits: count() })
    .from(circuits)
    .groupBy(circuits.appMode)
    .all();
  return { interactive: 0, inference: 0, ...Object.fromEntries(rows.map((row) => [row.mode, row.circuits])) };
}

/** All circuits, those of a worker together. */
export function circuitsByWorker(q: Query): CircuitRow[] {
  return readerOf(q)
    .select()
    .from(circuits)
    .orderBy(asc(circuits.workerId), asc(circuits.createdAt), asc(circuits.id))
    .all();
}

/** A page of circuits, oldest first, after this place. */
export function listCircuits(q: Query, filter: CircuitFilter, limit: number, after?: CircuitPlace): CircuitRow[] {
  return readerOf(q)
    .select()
    .from(circuits)
    .where(and(...conditions(q, filter), after === undefined ? undefined : isAfter(after)))
    .orderBy(asc(circuits.createdAt), asc(circuits.id))
    .limit(limit)
    .all();
}

/** A host in one form, whoever has written it: small letters, ASCII, IPv6 short and without brackets. */
export function plainHost(host: string): string {
  return kernelHost(asciiHost(host));
}

// --- internal ---

function conditions(q: Query, filter: CircuitFilter): (SQL | undefined)[] {
  return [
    filter.originRequestId === undefined ? undefined : eq(circuits.originRequestId, filter.originRequestId),
    filter.app === undefined ? undefined : eq(circuits.app, filter.app),
    filter.port === undefined ? undefined : and(eq(circuits.port, filter.port), atAnyWorker(q)),
    filter.subdomain === undefined ? undefined : and(eq(circuits.subdomain, filter.subdomain), atAnyWorker(q)),
    filter.userId === undefined ? undefined : eq(circuits.userId, filter.userId),
    filter.host === undefined ? undefined : atHost(q, filter.host),
    filter.kernel === undefined ? undefined : leadsTo(q, filter.kernel),
    filter.createdAfter === undefined ? undefined : gte(circuits.createdAt, filter.createdAfter),
    filter.createdBefore === undefined ? undefined : lt(circuits.createdAt, filter.createdBefore),
    filter.sessionId === undefined
      ? undefined
      : inArray(
          circuits.id,
          readerOf(q)
            .select({ id: circuitRoutes.circuitId })
            .from(circuitRoutes)
            .where(eq(circuitRoutes.sessionId, filter.sessionId)),
        ),
    filter.worker === undefined
      ? undefined
      : inArray(
          circuits.workerId,
          readerOf(q)
            .select({ id: workers.id })
            .from(workers)
            .where(or(eq(workers.id, filter.worker.toLowerCase()), eq(workers.authority, filter.worker))),
        ),
  ];
}

/** Circuits by port at a worker of this name, and the one by this name under a worker's domain. */
function atHost(q: Query, { host, port }: NonNullable<CircuitFilter["host"]>): SQL | undefined {
  const all = readerOf(q)
    .select({ id: workers.id, hostname: workers.hostname, domain: workers.wildcardDomain })
    .from(workers)
    .all();
  const byPort = all.filter(({ hostname }) => plainHost(hostname) === host).map(({ id }) => id);
  const byName = all.flatMap(({ id, domain }) => {
    const suffix = domain === null ? "" : plainHost(domain);
    const isUnder = suffix !== "" && host.endsWith(suffix) && host.length > suffix.length;
    return isUnder ? [and(eq(circuits.workerId, id), eq(circuits.subdomain, host.slice(0, -suffix.length)))] : [];
  });
  const atPort = port === null ? isNotNull(circuits.port) : eq(circuits.port, port);
  return or(and(inArray(circuits.workerId, byPort), atPort), ...byName);
}

/** The indexes of slots begin with the worker. */
function atAnyWorker(q: Query): SQL {
  return inArray(circuits.workerId, readerOf(q).select({ id: workers.id }).from(workers));
}

function leadsTo(q: Query, { host, port }: NonNullable<CircuitFilter["kernel"]>): SQL {
  const ids = readerOf(q)
    .select({ id: circuitRoutes.circuitId })
    .from(circuitRoutes)
    .where(and(eq(circuitRoutes.kernelHost, host), port === null ? undefined : eq(circuitRoutes.kernelPort, port)));
  return inArray(circuits.id, ids);
}

function isAfter(row: CircuitPlace): SQL | undefined {
  return or(gt(circuits.createdAt, row.createdAt), and(eq(circuits.createdAt, row.createdAt), gt(circuits.id, row.id)));
}
