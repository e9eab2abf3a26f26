/**
 * Who of several coordinators on one database does the periodic work: whoever holds the lease. Work under it is safe to be
 * done twice; the lease saves the doubled cost and the doubled announcements. Called by periodic.ts.
 */
import { and, eq, gt, lte, or, sql } from "drizzle-orm";
import { write, type Db } from "./db/open.ts";
import { prepared, rowOf } from "./db/prepared.ts";
import { leases } from "./db/schema.ts";

export interface Lease {
  /** Takes or renews the lease; true when it is this process's. A commit only when it is due. */
  hold(): boolean;
  /** True while it is this process's. */
  isMine(): boolean;
  /** Lets another one have it at once. */
  release(): void;
}

/** How long a coordinator that is gone keeps others from the work. Milliseconds. */
export const LEASE_MS = 10_000;

/** `holder` is a name of this process alone; `now` gives epoch milliseconds, `steady` those of a clock that nobody sets. */
export function createLease(
  db: Db,
  name: string,
  holder: string,
  now: () => number,
  steady: () => number = () => performance.now(),
): Lease {
  /** Until then it is ours for sure, by the steady clock. */
  let mineUntil = -Infinity;

  function take(): boolean {
    const [at, until] = [now(), now() + LEASE_MS];
    const taken = write(db, (tx) => upsert(tx).get({ name, holder, now: at, until, tooLate: until + LEASE_MS }));
    return taken?.holder === holder;
  }

  return {
    hold() {
      // Renewed at half its time.
      if (steady() < mineUntil - LEASE_MS / 2) return true;
      const isMine = take();
      mineUntil = isMine ? steady() + LEASE_MS : -Infinity;
      return isMine;
    },
    isMine: () => steady() < mineUntil,
    release() {
      mineUntil = -Infinity;
      end(db).run({ name, holder });
    },
  };
}

// --- internal ---

const arg = sql.placeholder;
const isFree = or(
  eq(leases.holder, arg("holder")),
  lte(leases.until, arg("now")),
  // Written by a clock that was ahead: nobody may keep it for longer than a lease.
  gt(leases.until, arg("tooLate")),
);
const upsert = prepared((db) =>
  db
    .insert(leases)
    .values(rowOf(leases))
    .onConflictDoUpdate({
      target: leases.name,
      set: { holder: sql`excluded.holder`, until: sql`excluded.until` },
      ...(isFree === undefined ? {} : { setWhere: isFree }),
    })
    .returning({ holder: leases.holder })
    .prepare(),
);
const end = prepared((db) =>
  db
    .update(leases)
    .set({ until: sql`0` })
    .where(and(eq(leases.name, arg("name")), eq(leases.holder, arg("holder"))))
    .prepare(),
);
