/**
 * What a supervisor and the processes of a worker say to each other beside "I serve" (shared/runtime/supervised.ts). Over
 * the line of Bun.spawn: whoever is at its other end was started by us, but may be of another version.
 */
import { isRecord } from "../../shared/values.ts";

/** A process's figures, as prom-client has them. */
export type Figures = readonly object[];

/** From a process. */
export type ToSupervisor =
  /** Its certificate has been renewed: it wants to be replaced. */
  | { readonly lane: "replace" }
  /** What do all say of themselves? Answered with `figures`. */
  | { readonly lane: "gather"; readonly id: number }
  /** The answer to `report`. */
  | { readonly lane: "reported"; readonly id: number; readonly figures: Figures };

/** To a process. */
export type ToProcess =
  /** Another process of the worker has ended. */
  | { readonly lane: "ended" }
  /** What does it say of itself? Answered with `reported`. */
  | { readonly lane: "report"; readonly id: number }
  /** The answer to `gather`: one entry a process. */
  | { readonly lane: "figures"; readonly id: number; readonly all: readonly Figures[] };

/** What a process has said; null when it is something else. */
export function fromProcess(message: unknown): ToSupervisor | null {
  if (!isRecord(message)) return null;
  const { lane, id, figures } = message;
  if (lane === "replace") return { lane };
  if (lane === "gather" && typeof id === "number") return { lane, id };
  return lane === "reported" && typeof id === "number" && Array.isArray(figures) ? { lane, id, figures } : null;
}

/** What the supervisor has said; null when it is something else. */
export function fromSupervisor(message: unknown): ToProcess | null {
  if (!isRecord(message)) return null;
  const { lane, id, all } = message;
  if (lane === "ended") return { lane };
  if (lane === "report" && typeof id === "number") return { lane, id };
  return lane === "figures" && typeof id === "number" && Array.isArray(all) && all.every(Array.isArray)
    ? { lane, id, all }
    : null;
}
