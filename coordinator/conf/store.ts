/** SQL of the tokens of `POST /v2/conf`. */
import { and, eq, inArray, lte, max, sql } from "drizzle-orm";
import type { Db } from "../db/open.ts";
import { prepared, rowOf } from "../db/prepared.ts";
import { tokens } from "../db/schema.ts";

export type TokenRow = typeof tokens.$inferSelect;

export function insertToken(db: Db, token: TokenRow): void {
  insertRow(db).run(token);
}

export function getToken(db: Db, id: string): TokenRow | undefined {
  return selectById(db).get({ id });
}

/** A session's newest token for a kernel: when it was issued. */
export function newestIssue(db: Db, sessionId: string, kernelHost: string, kernelPort: number): number | null {
  const isIt = and(
    eq(tokens.sessionId, sessionId),
    eq(tokens.kernelHost, kernelHost),
    eq(tokens.kernelPort, kernelPort),
  );
  return (
    db
      .select({ at: max(tokens.createdAt) })
      .from(tokens)
      .where(isIt)
      .get()?.at ?? null
  );
}

/** Forgets the tokens of sessions. Gives how many there were. */
export function deleteOfSessions(db: Db, sessionIds: readonly string[]): number {
  return db
    .delete(tokens)
    .where(inArray(tokens.sessionId, [...sessionIds]))
    .returning({ id: tokens.id })
    .all().length;
}

export function deleteExpired(db: Db, now: number): void {
  db.delete(tokens).where(lte(tokens.expiresAt, now)).run();
}

// --- internal ---

const insertRow = prepared((db) => db.insert(tokens).values(rowOf(tokens)).prepare());
const selectById = prepared((db) =>
  db
    .select()
    .from(tokens)
    .where(eq(tokens.id, sql.placeholder("id")))
    .prepare(),
);
