/**
 * Who of several coordinators on one database does the periodic work: whoever holds the lease. Work under it is safe to be
 * done twice; the lease saves the doubled cost and the doubled announcements. Called by periodic.ts.
 */
import { endLease, takeLease } from "../store/leases.ts";
import { write, type Db } from "../store/open.ts";

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
    return write(db, (tx) => takeLease(tx, { name, holder, now: at, until, tooLate: until + LEASE_MS }));
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
      endLease(db, name, holder);
    },
  };
}
