/**
 * Who had a slot before, as browsers see it: they keep what an app leaves by host and port, or by name, whatever worker or
 * session is behind it. So a new circuit knows whether another person's app was there (its worker then has the browser
 * clear what that left), and a slot on which an app has registered a service worker goes to nobody else: it would answer
 * the next one's first navigation itself, and can't be cleared by that navigation's answer.
 */
import { and, asc, eq, isNotNull, isNull, lt, lte, ne, or, sql, type SQL } from "drizzle-orm";
import type { Readable } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import { prepared, preparedWrite } from "./prepared.ts";
import { freePorts, usedSlots, workers } from "./schema.ts";
import { isOpenAtAll, isOpenAtSome } from "./blocked-ports.ts";

/** So long after its script was last fetched a slot is left alone, however full its worker is. Milliseconds. */
export const SET_ASIDE_MS = 7 * 24 * 3600 * 1000;
/** Free ports of one person that are kept from others; of open circuits there are limits of their own. */
export const MOST_SET_ASIDE = 16;
/** Names are forgotten so long after their last use: there is no end of them. Cookies live no longer in Chromium. */
const NAMES_KEPT_MS = 400 * 24 * 3600 * 1000;

export interface Slot {
  workerId: string;
  port: number | null;
  subdomain: string | null;
}

/** What a circuit has to know of those before it. */
export interface Before {
  /** When it came to a slot that was another person's; null for one that was nobody else's. */
  recycledAt: number | null;
  /** Somebody else's app has registered a service worker there. */
  blocksServiceWorkers: boolean;
}

/** A circuit of this person takes a slot. */
export function occupy(tx: Tx, slot: Slot, userId: string | null): Before {
  const { now } = tx.cause;
  const key = keyOf(tx, slot);
  const uid = userId ?? NOBODY;
  const before = selectUsed(tx).get(key);
  const isRecycled = before !== undefined && (before.userId !== uid || before.isShared);
  upsertUsed(tx).run({ ...key, uid, shared: isRecycled ? 1 : 0, now });
  const registrar = before?.serviceWorkerUser ?? null;
  return { recycledAt: isRecycled ? now : null, blocksServiceWorkers: registrar !== null && registrar !== uid };
}

/**
 * Notes that an app of this person has had a service worker's script fetched on a slot. Anybody can ask as a browser does: so that one
 * person does not take all ports, free ones beyond `MOST_SET_ASIDE` are given back, the oldest first.
 */
export function noteServiceWorker(tx: Tx, slot: Slot, userId: string | null, now: number): void {
  const uid = userId ?? NOBODY;
  upsertServiceWorker(tx).run({ ...keyOf(tx, slot), uid, now });
  if (slot.port !== null) giveBackOldest(tx).run({ uid });
}

/** A port is free now: perhaps one more than may be kept from others. */
export function vacate(tx: Tx, slot: Slot): void {
  const uid = selectUsed(tx).get(keyOf(tx, slot))?.serviceWorkerUser ?? null;
  // What several have registered on is nobody's count.
  if (uid !== null && uid !== SEVERAL) giveBackOldest(tx).run({ uid });
}

/** Whether a slot is kept from this person. */
export function isSetAside(q: Query, slot: Slot, userId: string | null): boolean {
  const registrar = selectUsed(q).get(keyOf(q, slot))?.serviceWorkerUser ?? null;
  return registrar !== null && registrar !== (userId ?? NOBODY);
}

/** How many free ports of each worker are kept from this person, and how many of those may be used when all else is taken. */
export function setAside(q: Query, userId: string | null, now: number): Map<string, { kept: number; ripe: number }> {
  const rows = countSetAside(q).all({ uid: userId ?? NOBODY, until: now - SET_ASIDE_MS, now });
  return new Map(rows.map(({ workerId, ...counts }) => [workerId, counts]));
}

/**
 * The free port that was released longest ago and is not kept from this person; undefined when all are taken. What only some
 * nodes of the worker can open comes last: it would be refused at the others.
 */
export function oldestFreePort(q: Query, workerId: string, userId: string | null, now: number): number | undefined {
  const open = oldestOpenPort(q, workerId, userId, now);
  return open ?? selectOldestPartlyOpen(q).get({ workerId, uid: userId ?? NOBODY, now })?.port;
}

/** The same of those that every node can open. */
export function oldestOpenPort(q: Query, workerId: string, userId: string | null, now: number): number | undefined {
  return selectOldestOpen(q).get({ workerId, uid: userId ?? NOBODY, now })?.port;
}

/** The free port that is kept from this person and was set aside longest ago, when that is long enough. */
export function ripestPort(q: Query, workerId: string, userId: string | null, now: number): number | undefined {
  return selectRipest(q).get({ workerId, uid: userId ?? NOBODY, until: now - SET_ASIDE_MS, now })?.port;
}

/** Whose service workers are on slots of a worker: users by port, and by name. */
export interface Registrars {
  ports: Map<number, string>;
  names: Map<string, string>;
}

export function registrars(q: Query, workerId: string): Registrars {
  const domain = keyOf(q, { workerId, port: null, subdomain: "" }).host;
  const rows = selectRegistrars(q).all({ workerId, suffix: domain });
  const found: Registrars = { ports: new Map(), names: new Map() };
  for (const { host, port, user } of rows) {
    if (port !== 0) found.ports.set(port, user ?? NOBODY);
    else found.names.set(host.slice(0, -domain.length), user ?? NOBODY);
  }
  return found;
}

/** Forgets names that nobody has used for long. */
export function forgetNames(tx: Tx, now: number): void {
  deleteOldNames(tx).run({ before: now - NAMES_KEPT_MS });
}

// --- internal ---

/** A circuit without a user: one more person. */
const NOBODY = "";
/** No user's id. */
const SEVERAL = "*";

/** Names have port 0: a wildcard worker has one port, and another one on the host would be another site's worker. */
function keyOf(q: Query, { workerId, port, subdomain }: Slot): { host: string; port: number } {
  const worker = selectNames(q).get({ workerId });
  const host = port === null ? `${subdomain ?? ""}${worker?.domain ?? ""}` : (worker?.hostname ?? "");
  return { host: host.toLowerCase(), port: port ?? 0 };
}

const arg = sql.placeholder;
const ofWorker = and(eq(usedSlots.host, sql`lower(${workers.hostname})`), eq(usedSlots.port, freePorts.port));
const othersRegistered = and(isNotNull(usedSlots.serviceWorkerUser), ne(usedSlots.serviceWorkerUser, arg("uid")));
const isRipe = lte(usedSlots.serviceWorkerAt, arg("until"));

const selectNames = prepared((db) =>
  db
    .select({ hostname: workers.hostname, domain: workers.wildcardDomain })
    .from(workers)
    .where(eq(workers.id, arg("workerId")))
    .prepare(),
);
const selectUsed = prepared((db) =>
  db
    .select()
    .from(usedSlots)
    .where(and(eq(usedSlots.host, arg("host")), eq(usedSlots.port, arg("port"))))
    .prepare(),
);
const key = { host: sql`${arg("host")}`, port: sql`${arg("port")}` };
const upsertUsed = preparedWrite((db) =>
  db
    .insert(usedSlots)
    .values({ ...key, userId: sql`${arg("uid")}`, isShared: sql`${arg("shared")}`, usedAt: sql`${arg("now")}` })
    .onConflictDoUpdate({
      target: [usedSlots.host, usedSlots.port],
      set: { userId: sql`excluded.user_id`, isShared: sql`excluded.is_shared`, usedAt: sql`excluded.used_at` },
    })
    .prepare(),
);
/** A slot that two people's apps have done this on is neither's any more. */
const upsertServiceWorker = preparedWrite((db) =>
  db
    .insert(usedSlots)
    .values({
      ...key,
      userId: sql`${arg("uid")}`,
      usedAt: sql`${arg("now")}`,
      serviceWorkerUser: sql`${arg("uid")}`,
      serviceWorkerAt: sql`${arg("now")}`,
    })
    .onConflictDoUpdate({
      target: [usedSlots.host, usedSlots.port],
      set: {
        serviceWorkerUser: sql`CASE WHEN coalesce(${usedSlots.serviceWorkerUser}, excluded.service_worker_user) = excluded.service_worker_user
          THEN excluded.service_worker_user ELSE ${SEVERAL} END`,
        serviceWorkerAt: sql`excluded.service_worker_at`,
      },
    })
    .prepare(),
);
/** Of names there is no end: nobody can take all. */
const giveBackOldest = preparedWrite((db) =>
  db
    .update(usedSlots)
    .set({ serviceWorkerUser: null, serviceWorkerAt: null })
    .where(
      sql`rowid IN (SELECT ${usedSlots}.rowid FROM ${usedSlots} WHERE ${eq(usedSlots.serviceWorkerUser, arg("uid"))} AND ${usedSlots}.port <> 0
        AND EXISTS (SELECT 1 FROM ${workers} CROSS JOIN ${freePorts} ON ${eq(workers.id, freePorts.workerId)} WHERE ${ofWorker})
        ORDER BY ${usedSlots.serviceWorkerAt} DESC, ${usedSlots}.rowid DESC LIMIT -1 OFFSET ${sql.raw(String(MOST_SET_ASIDE))})`,
    )
    .prepare(),
);
const selectOldest = (isOpen: SQL) => (db: Readable) =>
  db
    .select({ port: freePorts.port })
    .from(freePorts)
    .innerJoin(workers, eq(workers.id, freePorts.workerId))
    .leftJoin(usedSlots, ofWorker)
    .where(
      and(
        eq(freePorts.workerId, arg("workerId")),
        or(isNull(usedSlots.serviceWorkerUser), eq(usedSlots.serviceWorkerUser, arg("uid"))),
        isOpen,
      ),
    )
    .orderBy(asc(freePorts.releasedAt), asc(freePorts.port))
    .limit(1)
    .prepare();
const selectOldestOpen = prepared(selectOldest(isOpenAtAll));
const selectOldestPartlyOpen = prepared(selectOldest(isOpenAtSome));
const selectRipest = prepared((db) =>
  db
    .select({ port: freePorts.port })
    .from(usedSlots)
    .innerJoin(workers, eq(workers.id, arg("workerId")))
    .innerJoin(freePorts, and(eq(freePorts.workerId, workers.id), ofWorker))
    .where(and(othersRegistered, isRipe, isOpenAtSome))
    .orderBy(asc(usedSlots.serviceWorkerAt), asc(freePorts.port))
    .limit(1)
    .prepare(),
);
/**
 * From the few slots with service workers to the ports: nothing is walked where there are none. CROSS JOIN keeps SQLite to that
 * order (https://sqlite.org/optoverview.html#manual_control_of_query_plans_using_cross_join): left to itself it began with
 * all free ports, 45 ms for 120,000.
 */
const countSetAside = prepared((db) =>
  db
    .select({
      workerId: freePorts.workerId,
      kept: sql<number>`count(*)`,
      ripe: sql<number>`coalesce(sum(${isRipe}), 0)`,
    })
    .from(usedSlots)
    .crossJoin(workers)
    .crossJoin(freePorts)
    .where(and(othersRegistered, eq(freePorts.workerId, workers.id), ofWorker, isOpenAtSome))
    .groupBy(freePorts.workerId)
    .prepare(),
);
const selectRegistrars = prepared((db) =>
  db
    .select({ host: usedSlots.host, port: usedSlots.port, user: usedSlots.serviceWorkerUser })
    .from(usedSlots)
    .innerJoin(workers, eq(workers.id, arg("workerId")))
    .where(
      and(
        isNotNull(usedSlots.serviceWorkerUser),
        or(
          and(ne(usedSlots.port, 0), eq(usedSlots.host, sql`lower(${workers.hostname})`)),
          and(eq(usedSlots.port, 0), sql`substr(${usedSlots.host}, -length(${arg("suffix")})) = ${arg("suffix")}`),
        ),
      ),
    )
    .prepare(),
);
const deleteOldNames = preparedWrite((db) =>
  db
    .delete(usedSlots)
    .where(and(eq(usedSlots.port, 0), lt(usedSlots.usedAt, arg("before"))))
    .prepare(),
);
