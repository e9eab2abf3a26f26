/**
 * What opening an app does to the circuit that its person has, or to none. The first line that fits:
 *
 * | the circuit                    | it leads                                          | plan                         |
 * |--------------------------------|---------------------------------------------------|------------------------------|
 * | can stay                       | to the token's kernel, or where another request   | reuse, or change its lists   |
 * |                                | has led it since                                  |                              |
 * | cannot stay                    | to the token's kernel                             | move                         |
 * | is there or not                | elsewhere; the kernel is another session's by now | refuse                       |
 * | is not there                   |                                                   | create                       |
 * | can stay                       | elsewhere                                         | change: lead it there        |
 * | cannot stay                    | elsewhere                                         | move, and lead it there      |
 *
 * Pure: service.ts reads the facts and carries the plan out, in one transaction.
 */
import type { Route } from "../../shared/protocol/schema/circuit.ts";
import type { CircuitRow, Content } from "../store/circuits.ts";

/** What is known when an app is opened. */
export interface Facts {
  /** The circuit that the request may have; null when there is none. */
  existing: {
    row: CircuitRow;
    /** Its only route leads to the token's kernel. */
    leadsThere: boolean;
    /** Its worker is alive, has its slot and can serve it there. */
    canStay: boolean;
    /** What the request changes of it; null for nothing. */
    change: Partial<Content> | null;
  } | null;
  /** The way to the token's kernel. */
  route: Route;
  /**
   * This request has had a circuit before, which another one has changed since or its worker has refused. What another made
   * of one that can stay is accepted, so that two requests never undo each other in turn.
   */
  again: boolean;
  /**
   * The circuits of other sessions that lead to the token's kernel. `newer`: of one the platform has named the kernel after
   * it issued the token.
   */
  rivals: "none" | "older" | "newer";
}

/** `takesOver`: rivals lose their way to the kernel, before a slot is chosen: theirs is free again then. */
export type Plan =
  | { kind: "refuse" }
  | { kind: "create"; takesOver: boolean }
  | { kind: "reuse"; row: CircuitRow; takesOver: false }
  | { kind: "change"; row: CircuitRow; change: Partial<Content>; takesOver: boolean }
  | { kind: "move"; row: CircuitRow; change: Partial<Content> | null; takesOver: boolean };

export function planOpen({ existing, route, again, rivals }: Facts): Plan {
  if (existing?.canStay === true && (existing.leadsThere || again))
    return keep(existing.row, again ? null : existing.change);
  if (existing?.leadsThere === true)
    return { kind: "move", row: existing.row, change: existing.change, takesOver: false };
  const takesOver = rivals !== "none";
  // Who heard of the kernel later keeps it, and so does who took it while this request waited.
  if (takesOver && (again || rivals === "newer")) return { kind: "refuse" };
  if (existing === null) return { kind: "create", takesOver };
  const { row, canStay, change } = existing;
  return { kind: canStay ? "change" : "move", row, change: { ...change, routeInfo: [route] }, takesOver };
}

// --- internal ---

function keep(row: CircuitRow, change: Partial<Content> | null): Plan {
  if (change === null) return { kind: "reuse", row, takesOver: false };
  return { kind: "change", row, change, takesOver: false };
}
