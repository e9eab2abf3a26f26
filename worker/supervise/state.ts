/** What the supervisor knows, hears and wants done: the values of its machine (step.ts). Nothing here acts. */

/** A worker's process. */
export interface Process {
  readonly id: number;
  readonly pid: number;
  readonly served: boolean;
  /** How long its stop may take, as it has said. Milliseconds. */
  readonly stopMs: number;
  /** It was asked to go, and has so many milliseconds for it; null: it was not. */
  readonly leavesIn: number | null;
}

export interface State {
  /** Null while it waits to be started again. */
  readonly current: Process | null;
  readonly successor: Process | null;
  readonly leaving: Process | null;
  /** What is being started. */
  readonly starting: "current" | "successor" | null;
  /** A replacement was asked for during another one. */
  readonly wanted: boolean;
  readonly hasServed: boolean;
  readonly stopping: boolean;
  /** Before a worker that has died is started again. Milliseconds. */
  readonly pause: number;
  /** The highest exit code since the stop. */
  readonly worst: number;
}

export interface Limits {
  /** How long a successor may take until it serves. Milliseconds. */
  readyMs: number;
  /** Before a worker that has died is started again: doubled each time until one serves. Milliseconds. */
  pause: { first: number; most: number };
  /** So much longer than it said may a worker that leaves take. Milliseconds. */
  graceMs: number;
}

export type Input =
  /** What was to be started is there, or can't be started. */
  | { readonly kind: "started"; readonly id: number; readonly pid: number }
  | { readonly kind: "unstartable"; readonly error: unknown }
  /** A worker says that it serves, and how long its stop may take. Milliseconds. */
  | { readonly kind: "serves"; readonly id: number; readonly stopMs: number }
  | { readonly kind: "ended"; readonly id: number; readonly code: number }
  /** The time of a `limit` is over. */
  | { readonly kind: "late"; readonly id: number }
  /** A `pause` is over. */
  | { readonly kind: "paused" }
  | { readonly kind: "replace" }
  | { readonly kind: "stop" };

export type Effect =
  /** Start a worker that takes over from this process, if it is not null; then say `started` or `unstartable`. */
  | { readonly kind: "start"; readonly predecessor: number | null }
  | { readonly kind: "signal"; readonly id: number; readonly signal: "SIGTERM" | "SIGKILL" }
  /** Say `late` after so many milliseconds, unless the process has ended; null: never. In the place of its limit before. */
  | { readonly kind: "limit"; readonly id: number; readonly ms: number | null }
  | { readonly kind: "pause"; readonly ms: number }
  /** All is over; the supervisor's exit code. */
  | { readonly kind: "done"; readonly code: number }
  | {
      readonly kind: "log";
      readonly level: "info" | "error";
      readonly about: Record<string, unknown>;
      readonly message: string;
    };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** True when no process comes or goes: the one that serves, if there is one, stays. */
export function isSettled({ successor, leaving, starting, wanted }: State): boolean {
  return successor === null && leaving === null && starting === null && !wanted;
}

/** The first worker is about to be started; `hasServed`: one like it has served before, so that it is started whatever happens. */
export function initial({ pause }: Limits, hasServed = false): State {
  return {
    current: null,
    successor: null,
    leaving: null,
    starting: "current",
    wanted: false,
    hasServed,
    stopping: false,
    pause: pause.first,
    worst: 0,
  };
}
