/** SQL of change records that are to be published, or were. Written with what they tell of, in circuits.ts. */
import { and, asc, eq, gt, isNull, lt, max, sql } from "drizzle-orm";
import type { Db } from "./open.ts";
import { prepared } from "./prepared.ts";
import { changes, workers } from "./schema.ts";

export interface RecordedChange {
  change: typeof changes.$inferSelect;
  /** Of its worker. */
  authority: string;
}

/** The oldest `limit` changes after `last` that were not published, in order. */
export function selectUnpublished(db: Db, last: number, limit: number): RecordedChange[] {
  return unpublished(db).all({ last, limit });
}

export function countUnpublished(db: Db, last: number): number {
  return (
    db
      .select({ count: sql<number>`count(*)` })
      .from(changes)
      .where(and(isNull(changes.publishedAt), gt(changes.id, last)))
      .get()?.count ?? 0
  );
}

export function notePublished(db: Db, ids: readonly number[], now: number): void {
  updatePublished(db).run({ now, ids: JSON.stringify(ids) });
}

/** Forgets those that were published before `before`. */
export function deleteOldChanges(db: Db, before: number): void {
  db.delete(changes).where(lt(changes.publishedAt, before)).run();
}

/** The number of the newest change; 0 when there is none. */
export function lastChange(db: Db): number {
  return (
    db
      .select({ id: max(changes.id) })
      .from(changes)
      .get()?.id ?? 0
  );
}

/** Takes all changes after `last` for published: nobody is told of them. */
export function passOver(db: Db, last: number, now: number): void {
  db.update(changes).set({ publishedAt: now }).where(gt(changes.id, last)).run();
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
const updatePublished = prepared((db) =>
  db
    .update(changes)
    .set({ publishedAt: sql`${sql.placeholder("now")}` })
    .where(sql`${changes.id} IN (SELECT value FROM json_each(${sql.placeholder("ids")}))`)
    .prepare(),
);
