/** SQL of the tokens of `POST /v2/conf`. */
import { eq, lte, sql } from "drizzle-orm";
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
