/**
 * What follows when an app could not be asked: one rule for HTTP, WebSockets and TCP (dataplane R2, H10). Pure; attempt.ts acts
 * on it. `fetch` repeats by a rule of its own besides (the deviations of the Bun engine).
 */
import type { FaultKind } from "../net/upstream-fault.ts";
import type { Progress, RequestHead } from "../seam/engine.ts";

/** Whether a fault counts against the route: it takes no connections. */
export function isConnectFailure(kind: FaultKind): boolean {
  return kind === "unreachable" || kind === "late" || kind === "refused";
}

/**
 * Whether the same request goes over the same route once more: its connection may have been closed before it came
 * (RFC 9112 §9.3.1). A fresh connection that breaks has no such excuse.
 */
export function mayRepeat(kind: FaultKind, { stale, clientGone }: Progress): boolean {
  return kind === "broken" && stale && !clientGone;
}

/**
 * Whether the same request may go over another route: nothing has reached an app, no body may be half gone, and somebody
 * waits for the answer. A connection that was late has used up the client's time.
 */
export function mayTryNext(kind: FaultKind, { hasBody, clientGone }: Progress): boolean {
  return (kind === "unreachable" || kind === "refused") && !hasBody && !clientGone;
}

/** Safe methods (RFC 9110 §9.2.1) that nobody answers by doing something; OPTIONS is left to its app (dataplane H10). */
const REPEATABLE = new Set(["GET", "HEAD"]);

/** Whether a request may be sent twice at all: an app may hear it both times. */
export function isRepeatable(head: Pick<RequestHead, "method" | "header">): boolean {
  if (!REPEATABLE.has(head.method) || head.header("transfer-encoding") !== null) return false;
  return (head.header("content-length") ?? "0") === "0";
}
