/**
 * Who is refused for lack of room and comes again at once would keep the worker busy with refusing, and others waiting for it. So
 * beyond a few a second of one circuit, session or person the answer comes a second later: each client that does so waits. Over HTTP
 * only: to reset a TCP connection costs next to nothing.
 */

/** So many are answered at once. */
const FEW = 20;
const PERIOD_MS = 1000;
/** How much later the others are. */
const LATE_MS = 1000;
/** Of so many it is known at most how often they were refused lately. */
const MOST_KNOWN = 10_000;

/** Where a circuit may have fewer connections than this, each that waits would be missed. */
const ROOMY = 2048;

/** How many may wait in a worker of which one circuit may have so many connections: an eighth of all, where there are enough. */
export function mostSlow(ofCircuit: number): number {
  return ofCircuit < ROOMY ? 0 : Math.floor(ofCircuit / 4);
}

export interface SlowRefusals {
  /** Resolves when somebody may be refused, of whom `key` tells; null for at once. */
  wait(key: string): Promise<void> | null;
}

/** `now`: milliseconds. `most`: so many wait at a time, as they hold connections; more are answered at once. */
export function createSlowRefusals(now: () => number, most: number): SlowRefusals {
  const lately = new Map<string, { since: number; count: number }>();
  let waiting = 0;

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
      if (known.count <= FEW || waiting >= most) return null;
      waiting++;
      return Bun.sleep(LATE_MS).then(() => void waiting--);
    },
  };
}
