/**
 * Who of several coordinators on one database does the periodic work: whoever holds the lease. Work under it is safe to be
 * done twice; the lease saves the doubled cost and the doubled announcements. Called by periodic.ts.
 */
import { and, eq, gt, lte, or, sql } from "drizzle-orm";
import { write, type Db } from "./db/open.ts";
import { leases } from "./db/schema.ts";

export interface Lease {
  /** Takes or renews the lease; true when it is this process's. A commit only when it is due. */
  hold(): boolean;
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
    const until = now() + LEASE_MS;
    const isFree = or(
      eq(leases.holder, holder),
      lte(leases.until, now()),
      // Written by a clock that was ahead: nobody may keep it for longer than a lease.
      gt(leases.until, until + LEASE_MS),
    );
    const taken = write(db, (tx) =>
      tx
        .insert(leases)
        .values({ name, holder, until })
        .onConflictDoUpdate({
          target: leases.name,
          set: { holder, until },
          ...(isFree === undefined ? {} : { setWhere: isFree }),
        })
        .returning({ holder: leases.holder })
        .get(),
    );
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
    release() {
      mineUntil = -Infinity;
      db.update(leases)
        .set({ until: sql`0` })
        .where(and(eq(leases.name, name), eq(leases.holder, holder)))
        .run();
    },
  };
}
