/**
 * What a call does to a model service's circuit, or to none. The first line that fits:
 *
 * | its worker             | its slot                        | plan                                                 |
 * |------------------------|---------------------------------|------------------------------------------------------|
 * | there is no circuit    |                                 | create                                               |
 * | any                    | refused, or the worker is away  | move as wished, if this call made it and none served |
 * | gone                   |                                 | move if possible, else stay                          |
 * | alive                  | lost, or refused                | move if possible, else stay, and say so              |
 * | alive                  | its own                         | stay: change it, or leave it as it is                |
 * | away                   | any                             | stay, and nobody waits for it                        |
 *
 * Pure: service.ts reads the facts and carries the plan out, in one transaction.
 */
import type { CircuitRow, Content } from "../store/circuits.ts";

/** What is known of a circuit when its model service is asked for. */
export interface Facts {
  row: CircuitRow;
  /** `gone`: away for longer than a URL that clients have is kept for it. */
  worker: "alive" | "away" | "gone";
  /**
   * Counts of a living worker. `lost`: it has come back with another range or mode. `refused`: it can't open the port, and the
   * circuit is to have another.
   */
  slot: "its own" | "lost" | "refused";
  /** A node has served the circuit: clients may have its URL. */
  everServed: boolean;
  /**
   * This call has had the circuit before, which another has changed since or its worker has refused: what another made of it
   * is accepted.
   */
  again: boolean;
  /** What the call changes of it; null for nothing. */
  change: Partial<Content> | null;
  /** The worker is one of the original's, which of a change take nothing but the routes. */
  isOriginal: boolean;
}

/** The circuit keeps its slot. */
export interface Stay {
  kind: "stay";
  row: CircuitRow;
  change: Partial<Content> | null;
  /** For who waits for it: see `Found`. */
  state: "as before" | "rerouted" | "replaced";
  /** Its worker may come back: there is nobody to wait for. */
  absent: boolean;
  /** It can't be served there. */
  misplaced: boolean;
}

/** `move` fails when there is no slot as wished; `move if possible` takes any, and stays when there is none. */
export type Plan =
  | { kind: "create" }
  | Stay
  | { kind: "move"; facts: Facts }
  | { kind: "move if possible"; facts: Facts; otherwise: Stay };

export function planEndpoint(facts: Facts | null): Plan {
  if (facts === null) return { kind: "create" };
  const { worker, slot, everServed, again } = facts;
  const isAlive = worker === "alive";
  // As wished: nobody knows its URL yet.
  if (again && !everServed && (!isAlive || slot === "refused")) return { kind: "move", facts };
  const stay = stayOf(facts);
  return worker === "gone" || stay.misplaced ? { kind: "move if possible", facts, otherwise: stay } : stay;
}

// --- internal ---

function stayOf({ row, worker, slot, again, change: asked, isOriginal }: Facts): Stay {
  const change = again ? null : asked;
  const isNewToOriginal = isOriginal && change?.openToPublic !== undefined && change.openToPublic !== row.openToPublic;
  return {
    kind: "stay",
    row,
    change,
    state: change === null ? "as before" : isNewToOriginal ? "replaced" : "rerouted",
    absent: worker !== "alive",
    misplaced: worker === "alive" && slot !== "its own",
  };
}
