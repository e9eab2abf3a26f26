/** SQL of change records that are to be published, or were. Written with what they tell of, in circuits.ts. */
import { and, asc, eq, gt, isNull, lt, max, sql } from "drizzle-orm";
import { readerOf, writerOf } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import { prepared, preparedWrite } from "./prepared.ts";
import { changes, workers } from "./schema.ts";

export interface RecordedChange {
  change: typeof changes.$inferSelect;
  /** Of its worker. */
  authority: string;
}

/** The oldest `limit` changes after `last` that were not published, in order. */
export function selectUnpublished(q: Query, last: number, limit: number): RecordedChange[] {
  return unpublished(q).all({ last, limit });
}

export function countUnpublished(q: Query, last: number): number {
  return (
    readerOf(q)
      .select({ count: sql<number>`count(*)` })
      .from(changes)
      .where(and(isNull(changes.publishedAt), gt(changes.id, last)))
      .get()?.count ?? 0
  );
}

export function notePublished(tx: Tx, ids: readonly number[], now: number): void {
  updatePublished(tx).run({ now, ids: JSON.stringify(ids) });
}

/** Forgets those that were published before `before`. */
export function deleteOldChanges(tx: Tx, before: number): void {
  writerOf(tx).delete(changes).where(lt(changes.publishedAt, before)).run();
}

/** The number of the newest change; 0 when there is none. */
export function lastChange(q: Query): number {
  return (
    readerOf(q)
      .select({ id: max(changes.id) })
      .from(changes)
      .get()?.id ?? 0
  );
}

/** Takes all changes after `last` for published: nobody is told of them. */
export function passOver(tx: Tx, last: number, now: number): void {
  writerOf(tx).update(changes).set({ publishedAt: now }).where(gt(changes.id, last)).run();
}

// --- internal ---

const unpublished = prepared((db) =>
  db
    .select({ change: changes, authority: workers.authority })
    .from(changes)
    .innerJoin(workers, eq(workers.id, changes.workerId))
    .where(and(isNull(changes.publishedAt), gt(changes.id, sql.placeholder("last"))))
    .orderBy(asc(changes.id))
    .limit(sql.placeholder("limit"))
    .prepare(),
);
const updatePublished = preparedWrite((db) =>
  db
    .update(changes)
    .set({ publishedAt: sql`${sql.placeholder("now")}` })
    .where(sql`${changes.id} IN (SELECT value FROM json_each(${sql.placeholder("ids")}))`)
    .prepare(),
);
