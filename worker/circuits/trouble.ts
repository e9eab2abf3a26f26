/**
 * What is wrong with a circuit's app, for as long as it is so: one error id and one log line for all requests that meet it,
 * and since when. Its page loads itself again, and so would write a line every few seconds. It is over as soon as the app
 * answers anything.
 */
import type { PageKind } from "../../shared/failure.ts";
import type { Entry } from "./table.ts";

export interface Trouble {
  readonly kind: PageKind;
  readonly errorId: string;
  /** Since when the app is known not to answer. Epoch milliseconds. */
  readonly since: number;
  seenAt: number;
  /** Answers of the circuit's kernels so far. */
  readonly answers: number;
}

/** The trouble that a request has met, and whether it is the first one to do so. `now` in epoch milliseconds. */
export function meet(entry: Entry, kind: PageKind, now: number): { trouble: Trouble; isNew: boolean } {
  const running = troubleOf(entry, now);
  if (running?.kind === kind) {
    running.seenAt = now;
    return { trouble: running, isNew: false };
  }
  const trouble: Trouble = {
    kind,
    errorId: crypto.randomUUID(),
    since: running?.since ?? Math.min(now, sinceStart(entry) ?? now),
    seenAt: now,
    answers: entry.pool.answers,
  };
  entry.trouble = trouble;
  return { trouble, isNew: true };
}

/** The trouble that goes on; null when there is none. */
export function troubleOf(entry: Entry, now: number): Trouble | null {
  const { trouble, pool } = entry;
  if (trouble === null || (trouble.answers === pool.answers && now - trouble.seenAt < FORGET_MS)) return trouble;
  entry.trouble = null;
  return null;
}

// --- internal ---

/** Nobody has looked for so long: the app may have been well meanwhile. Milliseconds. */
const FORGET_MS = 300_000;

/** Since when an app that has never answered may have been there. */
function sinceStart({ pool }: Entry): number | null {
  const started = pool.upstreams.filter(({ answered }) => !answered).map(({ since }) => since);
  return started.length === 0 || started.length < pool.upstreams.length ? null : Math.min(...started);
}
