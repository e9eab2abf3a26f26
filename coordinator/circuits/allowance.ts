/**
 * How many circuits one person and one session may have, so that nobody takes all slots. Asked in the transaction that makes a
 * circuit, so the limits are exact, also with several coordinators on the database. Apps that people open count; model services
 * do not: the platform makes those, by a policy of its own, and one that were refused here would be a service without its URL.
 * Nothing makes way: that nobody has used a circuit for a while is known to some minutes only, and somebody may be looking at it.
 */
import { Failure } from "../../shared/failure.ts";
import { circuitsHeldBySession, circuitsHeldByUser } from "../store/circuit-queries.ts";
import type { Query } from "../store/store.ts";
import type { TokenRow } from "../store/tokens.ts";

/** Who has as many as they may have. */
export type Full = "user" | "session";

/** Most interactive circuits of each; 0 for no limit. */
export type CircuitLimits = Record<Full, number>;

export interface Allowance {
  /** Circuits that were refused so far, by what was full. */
  readonly refused: Readonly<Record<Full, number>>;
  /** Throws too-many-circuits when the token's session or user may have no circuit more. */
  check(q: Query, token: Pick<TokenRow, "sessionId" | "userId">): void;
}

export function createAllowance({ session: ofSession, user: ofUser }: CircuitLimits): Allowance {
  const refused: Record<Full, number> = { user: 0, session: 0 };

  function limit(full: Full, open: number, most: number): void {
    if (open < most) return;
    refused[full]++;
    const msg = `${WANTED[full]} with fewer than ${most} circuits, got one with ${open}: close apps that are not needed, or open one that is there without no_reuse (the limit is proxy_coordinator.limits.${full}_circuits)`;
    throw new Failure("appproxy/too-many-circuits", { msg, data: { full, open, most } });
  }

  return {
    refused,
    check(q, { sessionId, userId }) {
      if (ofSession > 0) limit("session", circuitsHeldBySession(q, sessionId), ofSession);
      if (ofUser > 0) limit("user", circuitsHeldByUser(q, userId), ofUser);
    },
  };
}

// --- internal ---

/** The field that says who it is. */
const WANTED: Record<Full, string> = {
  session: "session_id: wanted a session",
  user: "token: wanted one of a person",
};
