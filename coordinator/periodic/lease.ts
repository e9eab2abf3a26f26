/**
 * Who of several coordinators on one database does the periodic work: whoever holds the lease. Work under it is safe to be
 * done twice; the lease saves the doubled cost and the doubled announcements. Called by periodic.ts.
 */
import { endLease, takeLease } from "../store/leases.ts";
import { ITSELF, type Store } from "../store/store.ts";

export interface Lease {
  /** Takes or renews the lease; true when it is this process's. A commit only when it is due. */
  hold(): Promise<boolean>;
  /** True while it is this process's. */
  isMine(): boolean;
  /** Lets another one have it at once. */
  release(): Promise<void>;
}

/** How long a coordinator that is gone keeps others from the work. Milliseconds. */
export const LEASE_MS = 10_000;

/** `holder` is a name of this process alone; `now` gives epoch milliseconds, `steady` those of a clock that nobody sets. */
export function createLease(
  database: Store,
  name: string,
  holder: string,
  now: () => number,
  steady: () => number = () => performance.now(),
): Lease {
  /** Until then it is ours for sure, by the steady clock. */
  let mineUntil = -Infinity;

  const cause = { ...ITSELF, now };

  /** Gives until when it is ours, by the steady clock: from the moment of the transaction, which may have waited. */
  function take(): Promise<number> {
    return database.transaction(cause, (tx) => {
      const until = tx.cause.now + LEASE_MS;
      const isMine = takeLease(tx, { name, holder, now: tx.cause.now, until, tooLate: until + LEASE_MS });
      return isMine ? steady() + LEASE_MS : -Infinity;
    });
  }

  return {
    async hold() {
      // Renewed at half its time.
      if (steady() < mineUntil - LEASE_MS / 2) return true;
      mineUntil = await take();
      return mineUntil !== -Infinity;
    },
    isMine: () => steady() < mineUntil,
    async release() {
      mineUntil = -Infinity;
      await database.transaction(cause, (tx) => endLease(tx, name, holder));
    },
  };
}
