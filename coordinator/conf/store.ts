/** SQL of the tokens of `POST /v2/conf`. */
import { eq, lte } from "drizzle-orm";
import type { Db } from "../db/open.ts";
import { tokens } from "../db/schema.ts";

export type TokenRow = typeof tokens.$inferSelect;

export function insertToken(db: Db, token: TokenRow): void {
  db.insert(tokens).values(token).run();
}

export function getToken(db: Db, id: string): TokenRow | undefined {
  return db.select().from(tokens).where(eq(tokens.id, id)).get();
}

export function deleteExpired(db: Db, now: number): void {
  db.delete(tokens).where(lte(tokens.expiresAt, now)).run();
}
