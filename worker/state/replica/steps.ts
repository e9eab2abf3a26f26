/** What the machine's parts are made of: transitions of the phase, and steps that are put together. Pure. */
import type { Change, Item, Phase, State, Step } from "./state.ts";

/** Events may have been missed. */
export function lost(phase: Phase): Phase {
  if (phase.kind === "fetching") return { ...phase, missed: true };
  return phase.kind === "synced" ? { kind: "unknown" } : phase;
}

/** Changes alone would not mend the table. */
export function suspected(phase: Phase): Phase {
  return phase.kind === "fetching" ? { ...phase, suspect: true } : { kind: "suspect" };
}

/** The table differs, though nothing was missed. */
export function distrusted(phase: Phase): Phase {
  return lost(suspected(phase));
}

/** Everything is here, if only for the moment at which it was asked for. */
export function trusted(phase: Phase): Phase {
  if (phase.kind === "fetching") return { ...phase, suspect: false };
  return phase.kind === "suspect" ? { kind: "unknown" } : phase;
}

/** The state, and nothing to be done. */
export function only(state: State): Step {
  return { state, effects: [] };
}

/** One after the other. */
export function andThen(first: Step, next: (state: State) => Step): Step {
  const { state, effects } = next(first.state);
  return { state, effects: effects.length === 0 ? first.effects : [...first.effects, ...effects] };
}

/** The item waits for its turn. */
export function enqueue(state: State, item: Item): State {
  return { ...state, queue: [...state.queue, item] };
}

/** The item needs this change; the others wait until it is done. */
export function work(state: State, item: Item, change: Change): Step {
  return { state: { ...state, working: item }, effects: [{ kind: "change", change }] };
}

/** What came with this ticket has been taken, or why not. */
export function finished(state: State, ticket: number, error?: unknown): Step {
  return { state, effects: [{ kind: "finished", ticket, error }] };
}

/** The line comes before what else is to be done. */
export function log(
  done: Step,
  level: "info" | "warn" | "error",
  about: Record<string, unknown>,
  message: string,
): Step {
  return { state: done.state, effects: [{ kind: "log", level, about, message }, ...done.effects] };
}
