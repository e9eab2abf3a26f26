/** What a transaction has done to circuits, noted while it does it: told after its commit (delivery/commit.ts). */
import type { CircuitRow } from "./circuits.ts";
import type { Caller } from "./store.ts";

/**
 * Why a circuit ends, or some of its routes. `withdrawn`: no worker has ever acknowledged it; `kernel-reassigned`: the
 * kernel's address is another session's by now; `replaced`: what was taken over from the original makes room.
 */
export type EndReason =
  | "deleted"
  | "closed-by-user"
  | "collected"
  | "endpoint-removed"
  | "withdrawn"
  | "kernel-reassigned"
  | "kernel-refuses"
  | "session-over"
  | "replaced";

/** `by`: who caused it. `row`: the circuit as it was, a created one as it is; `now`: as it is. */
export type Recorded = { by: Caller; row: CircuitRow } & (
  | { kind: "created" }
  | { kind: "removed"; why: EndReason }
  | { kind: "moved"; now: CircuitRow }
  | { kind: "updated"; now: CircuitRow; why: EndReason | "routes-set" | null }
);
