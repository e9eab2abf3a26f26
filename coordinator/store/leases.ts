/** SQL of the leases that coordinators on one database hold. */
import { and, eq, gt, lte, or, sql } from "drizzle-orm";
import type { Tx } from "./store.ts";
import { preparedWrite, rowOf } from "./prepared.ts";
import { leases } from "./schema.ts";

/** Times are epoch milliseconds. `tooLate`: no clock that is right writes a lease that ends after it. */
interface LeaseRequest {
  name: string;
  holder: string;
  now: number;
  until: number;
  tooLate: number;
}

/** Takes or renews a lease that is free, over or its holder's own; true when it is the holder's then. */
export function takeLease(tx: Tx, request: LeaseRequest): boolean {
  return upsert(tx).get({ ...request })?.holder === request.holder;
}

export function endLease(tx: Tx, name: string, holder: string): void {
  end(tx).run({ name, holder });
}

// --- internal ---

const arg = sql.placeholder;
const isFree = or(
  eq(leases.holder, arg("holder")),
  lte(leases.until, arg("now")),
  // Written by a clock that was ahead: nobody may keep it for longer than a lease.
  gt(leases.until, arg("tooLate")),
);
const upsert = preparedWrite((db) =>
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
const end = preparedWrite((db) =>
  db
    .update(leases)
    .set({ until: sql`0` })
    .where(and(eq(leases.name, arg("name")), eq(leases.holder, arg("holder"))))
    .prepare(),
);
