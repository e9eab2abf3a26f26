/**
 * Who is refused for lack of room and comes again at once would keep the worker busy with refusing, and others waiting for it. So
 * beyond a few a second of one circuit, session or person the answer comes a second later: each client that does so waits. Over HTTP
 * only: raw TCP has no answer that could come later.
 */

/** So many are answered at once. */
const FEW = 20;
const PERIOD_MS = 1000;
/** How much later the others are. */
const LATE_MS = 1000;
/** Of so many it is known at most how often they were refused lately. */
const MOST_KNOWN = 10_000;

/** So many of one circuit, session or person wait at most. */
const MOST_OF_ONE = 256;

export interface SlowRefusals {
  /** Resolves when somebody may be refused, of whom `key` tells; null for at once. */
  wait(key: string): Promise<void> | null;
}

/** `now`: milliseconds. `most`: so many wait at a time, as they hold connections; more are answered at once. */
export function createSlowRefusals(now: () => number, most: number): SlowRefusals {
  const lately = new Map<string, { since: number; count: number }>();
  const waitingOf = new Map<string, number>();
  let waiting = 0;

  function over(key: string): void {
    waiting--;
    const left = (waitingOf.get(key) ?? 1) - 1;
    if (left > 0) waitingOf.set(key, left);
    else waitingOf.delete(key);
  }

  return {
    wait(key) {
      const at = now();
      const known = lately.get(key);
      if (known === undefined || at - known.since >= PERIOD_MS) {
        if (lately.size >= MOST_KNOWN) lately.clear();
        lately.set(key, { since: at, count: 1 });
        return null;
      }
      known.count++;
      const mine = waitingOf.get(key) ?? 0;
      if (known.count <= FEW || waiting >= most || mine >= MOST_OF_ONE) return null;
      waiting++;
      waitingOf.set(key, mine + 1);
      return Bun.sleep(LATE_MS).then(() => over(key));
    },
  };
}
