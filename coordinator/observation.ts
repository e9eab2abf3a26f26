/**
 * Since when this process can have heard of anybody, and by an even clock. Silence before that says nothing: a coordinator
 * that starts, that was stopped (SIGSTOP, a suspended machine) or whose clock was set must not call workers lost or
 * circuits unused for what it could not hear. Called by periodic.ts; workers/service.ts and circuits/collector.ts ask.
 */

export interface Observation {
  /** Epoch milliseconds by the present clock. */
  since(): number;
  /** Finds out whether it was interrupted since the last call. Called every CHECK_MS. */
  check(): "even" | "slept" | "clock was set";
  /** What was heard could not be written down: silence up to now says nothing. */
  lapsed(): void;
}

/** How often `check` is to be called. Milliseconds. */
export const CHECK_MS = 2000;
/** A check that is so late was kept from happening: a busy process is late by much less. Milliseconds. */
const LATE_MS = 5000;
/** Wall clock and steady clock differ by more than slewing explains (adjtime: at most 0.5 ms a second). Milliseconds. */
const STEP_MS = 1000;

/** `now`: epoch milliseconds; `steady`: milliseconds of a clock that nobody sets. */
export function createObservation(now: () => number, steady: () => number = () => performance.now()): Observation {
  let since = now();
  let last = { wall: since, steady: steady() };
  return {
    since: () => since,
    lapsed() {
      since = now();
    },
    check() {
      const here = { wall: now(), steady: steady() };
      const passed = here.steady - last.steady;
      const isSet = Math.abs(here.wall - last.wall - passed) > STEP_MS;
      last = here;
      if (!isSet && passed < CHECK_MS + LATE_MS) return "even";
      since = here.wall;
      return isSet ? "clock was set" : "slept";
    },
  };
}
