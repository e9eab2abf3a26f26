/** What happened in a trial, in order, with milliseconds since its start: all that is left to look at when it fails. */

export interface Timeline {
  /** Notes a step, with what matters of it. */
  readonly note: (who: string, what: string) => void;
  /** Notes a broken promise; the trial has failed. */
  readonly broken: (what: string) => void;
  /** Notes that a node that had not heard of a change yet went by what it knew. */
  readonly late: (what: string) => void;
  readonly failures: readonly string[];
  /** How often `late` was noted. */
  readonly lateAnswers: () => number;
  text(): string;
}

export function createTimeline(): Timeline {
  const start = performance.now();
  const lines: string[] = [];
  const failures: string[] = [];
  let late = 0;
  function note(who: string, what: string): void {
    lines.push(`${(performance.now() - start).toFixed(0).padStart(7)} ms  ${who.padEnd(12)} ${what}`);
  }
  return {
    note,
    failures,
    lateAnswers: () => late,
    late(what) {
      late++;
      note("late", what);
    },
    broken(what) {
      // One cause shows at every look.
      if (failures.includes(what)) return;
      failures.push(what);
      note("BROKEN", what);
    },
    text: () => lines.join("\n"),
  };
}
