/**
 * What a replica knows, hears and wants done: the values of its machine (step.ts). Nothing here acts: the runner
 * (replica.ts) carries effects out and tells what came of them.
 */
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import type { Revision } from "../../../shared/protocol/revision.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { WorkerCircuits } from "../../../shared/protocol/schema/worker.ts";

/** How far the table can be trusted. */
export type Phase =
  /** Events may have been missed; the changes since `revision` make up for them. */
  | { readonly kind: "unknown" }
  /** Changes alone would not mend the table: everything has to be fetched. */
  | { readonly kind: "suspect" }
  /** An answer is awaited and events are held: the answer may or may not have what they tell. */
  | {
      readonly kind: "fetching";
      /** Everything was asked for, or the table was distrusted since. */
      readonly suspect: boolean;
      /** Events may have been missed since it was asked for: it does not count as the newest. */
      readonly missed: boolean;
    }
  /** No change is known to be missing: events are applied as they come. */
  | { readonly kind: "synced" };

/** An event with the moment at which it was heard. */
export interface Heard {
  readonly event: AppProxyEvent;
  /** How many fetches had begun: one that was asked for later must have what it tells. */
  readonly begun: number;
}

/** What waits for its turn: all changes of the table follow each other. */
export type Item =
  | { readonly kind: "event"; readonly heard: Heard }
  /** An event that waited for the fetch of which the answer has now been applied. */
  | { readonly kind: "replay"; readonly heard: Heard }
  /** A fetch's answer. */
  | { readonly kind: "answer"; readonly answer: WorkerCircuits }
  /** A fetch's answer and what was heard meanwhile have been taken. */
  | { readonly kind: "end"; readonly at: number }
  /** What a poll has found. */
  | { readonly kind: "poll"; readonly asked: Revision; readonly answer: WorkerCircuits; readonly ticket: number }
  | { readonly kind: "saved"; readonly saved: WorkerCircuits; readonly ticket: number }
  /** Circuits that have ended while this node leaves. */
  | { readonly kind: "removal"; readonly circuits: readonly Circuit[] };

export type ItemOf<K extends Item["kind"]> = Extract<Item, { kind: K }>;

export interface State {
  readonly phase: Phase;
  /** Null before the first fetch, and with the original's coordinator. */
  readonly revision: number | null;
  readonly epoch: string | undefined;
  /** The coordinator tells digests, and of all circuits that are here. */
  readonly comparable: boolean;
  /** False when the coordinator was found to answer with everything though nothing has changed. */
  readonly tellsChanges: boolean;
  /** Events that wait until a fetch's answer is here, the oldest first. */
  readonly held: readonly Heard[];
  /** What waits for its turn, the next one first. */
  readonly queue: readonly Item[];
  /** The item whose change of the table is under way. */
  readonly working: Item | null;
  /** Fetches that have begun. */
  readonly begun: number;
  /** From the first wish for a fetch until the circuits are known or it fails; `pause`: before its next fetch, milliseconds. */
  readonly run: { readonly pause: number } | null;
  /** When everything was last fetched; performance.now() milliseconds. */
  readonly fetchedAt: number;
  /** When it was last known to be as the coordinator's; performance.now() milliseconds. */
  readonly syncedAt: number;
  readonly leaving: boolean;
  readonly stopped: boolean;
}

export const INITIAL: State = {
  phase: { kind: "suspect" },
  revision: null,
  epoch: undefined,
  comparable: false,
  tellsChanges: true,
  held: [],
  queue: [],
  working: null,
  begun: 0,
  run: null,
  fetchedAt: -Infinity,
  syncedAt: -Infinity,
  leaving: false,
  stopped: false,
};

/** A change of the table and the listeners, with what is told of it. */
export type Change =
  /** Takes new circuits, and new states of known ones; acknowledges or refuses them. */
  | { readonly kind: "add"; readonly circuits: readonly Circuit[]; readonly requestId: string | null }
  | { readonly kind: "drop"; readonly ids: readonly string[] }
  /** Makes these all that there are. `afresh`: the same revision of a circuit may be another state. */
  | { readonly kind: "replace"; readonly circuits: readonly Circuit[]; readonly afresh: boolean }
  | { readonly kind: "change"; readonly removed: readonly string[]; readonly circuits: readonly Circuit[] }
  /** Changes nothing: acknowledges or refuses once more those of these circuits that are known. */
  | { readonly kind: "again"; readonly circuits: readonly Circuit[]; readonly requestId: string | null };

/** What a change has led to. */
export interface Outcome {
  /** Of the table (shared/protocol/digest.ts). */
  readonly digest: number;
  /** Circuits in the table. */
  readonly circuits: number;
  /** An `again` that told of a circuit which is not known. */
  readonly isStrange: boolean;
  /** performance.now() milliseconds. */
  readonly at: number;
}

export type Input =
  /** An event for this worker. */
  | { readonly kind: "event"; readonly event: AppProxyEvent }
  /** Events may have been missed. */
  | { readonly kind: "lose" }
  /** The table was found to differ though no event was missed. */
  | { readonly kind: "distrust" }
  /** What is lacking is wanted now. */
  | { readonly kind: "refresh" }
  /** A `wait` is over. */
  | { readonly kind: "waited" }
  /** What an `ask` has brought. */
  | { readonly kind: "answered"; readonly answer: WorkerCircuits }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "polled"; readonly asked: Revision; readonly answer: WorkerCircuits; readonly ticket: number }
  | { readonly kind: "restore"; readonly saved: WorkerCircuits; readonly ticket: number }
  /** The change that was under way is done, or has failed. */
  | { readonly kind: "changed"; readonly outcome: Outcome }
  | { readonly kind: "broken"; readonly error: unknown }
  | { readonly kind: "leave" }
  | { readonly kind: "stop" };

export type Effect =
  /** Carry a change out, then say `changed` or `broken`. One at a time. */
  | { readonly kind: "change"; readonly change: Change }
  /** Say `waited` at this moment, at once when it has passed; performance.now() milliseconds. */
  | { readonly kind: "wait"; readonly until: number }
  /** Fetch what has changed since, or everything; then say `answered` or `failed`. */
  | { readonly kind: "ask"; readonly have: Revision | null }
  /** The circuits are known, for the first time or again. */
  | { readonly kind: "known"; readonly revision: number | null }
  /** Saved circuits are served. */
  | { readonly kind: "restored" }
  /** A run of fetches is over: the circuits are known, or nobody wants to know any more. */
  | { readonly kind: "settled" }
  /** A run of fetches has failed: somebody has to ask for the next one soon. */
  | { readonly kind: "gaveUp"; readonly error: unknown }
  /** What came with this ticket has been taken; `error`: why it could not be. */
  | { readonly kind: "finished"; readonly ticket: number; readonly error: unknown }
  | {
      readonly kind: "log";
      readonly level: "info" | "warn" | "error";
      readonly about: Record<string, unknown>;
      readonly message: string;
    };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Whether changes alone would not mend the table. */
export function isSuspect(phase: Phase): boolean {
  return phase.kind === "suspect" || (phase.kind === "fetching" && phase.suspect);
}

/** What a fetch can build on; null: on nothing. */
export function basis({ phase, revision, epoch }: State): Revision | null {
  return isSuspect(phase) || revision === null || epoch === undefined ? null : { number: revision, epoch };
}

/** What a poll asks with; null when there is nothing to be found out by one. */
export function pollBasis(state: State): Revision | null {
  return state.phase.kind === "synced" && state.tellsChanges ? basis(state) : null;
}
