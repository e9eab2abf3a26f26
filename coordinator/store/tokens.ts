/** SQL of the tokens of `POST /v2/conf`. */
import { and, eq, gt, inArray, lte, max, ne, sql } from "drizzle-orm";
import { readerOf, writerOf } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import { prepared, preparedWrite, rowOf } from "./prepared.ts";
import { tokens } from "./schema.ts";

export type TokenRow = typeof tokens.$inferSelect;

/** Without the login session: nothing asks for it, and it opens more than a circuit. The column is of earlier versions. */
export function insertToken(tx: Tx, token: Omit<TokenRow, "loginSessionToken">): void {
  insertRow(tx).run({ ...token, loginSessionToken: null });
}

export function getToken(q: Query, id: string): TokenRow | undefined {
  return selectById(q).get({ id });
}

/** Whether another session has a newer token for this token's kernel: its address is that session's by now. */
export function isOutdated(
  q: Query,
  {
    kernelHost,
    kernelPort,
    sessionId,
    createdAt,
  }: Pick<TokenRow, "kernelHost" | "kernelPort" | "sessionId" | "createdAt">,
): boolean {
  return selectNewerOfAnother(q).get({ kernelHost, kernelPort, sessionId, createdAt }) !== undefined;
}

/** A session's newest token for a kernel: when it was issued. */
export function newestIssue(q: Query, sessionId: string, kernelHost: string, kernelPort: number): number | null {
  const isIt = and(
    eq(tokens.sessionId, sessionId),
    eq(tokens.kernelHost, kernelHost),
    eq(tokens.kernelPort, kernelPort),
  );
  return (
    readerOf(q)
      .select({ at: max(tokens.createdAt) })
      .from(tokens)
      .where(isIt)
      .get()?.at ?? null
  );
}

/** Forgets the tokens of sessions. Gives how many there were. */
export function deleteOfSessions(tx: Tx, sessionIds: readonly string[]): number {
  return writerOf(tx)
    .delete(tokens)
    .where(inArray(tokens.sessionId, [...sessionIds]))
    .returning({ id: tokens.id })
    .all().length;
}

export function deleteExpired(tx: Tx, now: number): void {
  writerOf(tx).delete(tokens).where(lte(tokens.expiresAt, now)).run();
}

// --- internal ---

const insertRow = preparedWrite((db) => db.insert(tokens).values(rowOf(tokens)).prepare());
const selectNewerOfAnother = prepared((db) =>
  db
    .select({ id: tokens.id })
    .from(tokens)
    .where(
      and(
        eq(tokens.kernelHost, sql.placeholder("kernelHost")),
        eq(tokens.kernelPort, sql.placeholder("kernelPort")),
        ne(tokens.sessionId, sql.placeholder("sessionId")),
        gt(tokens.createdAt, sql.placeholder("createdAt")),
      ),
    )
    .limit(1)
    .prepare(),
);
const selectById = prepared((db) =>
  db
    .select()
    .from(tokens)
    .where(eq(tokens.id, sql.placeholder("id")))
    .prepare(),
);
