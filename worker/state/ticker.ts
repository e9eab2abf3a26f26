/** Work that is done again and again: never twice at once, sooner when somebody asks, and not after its stop. */

export interface TickerDeps {
  /** From the end of a run to the next one at the latest. Milliseconds. */
  period: number;
  work: () => Promise<void>;
  /** A run has failed; the next one comes all the same. */
  failed: (error: unknown) => void;
}

export interface Ticker {
  /** The next run comes in `ms` milliseconds, or earlier if it was to come earlier; of a run under way, after it. */
  within(ms: number): void;
  /** No run comes any more; resolves when the one that is under way is over. */
  stop(): Promise<void>;
}

/** The first run comes when `within` is called. */
export function createTicker({ period, work, failed }: TickerDeps): Ticker {
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | null = null;
  /** performance.now() milliseconds. */
  let dueAt = Infinity;

  function within(ms: number): void {
    dueAt = Math.min(dueAt, performance.now() + ms);
    if (stopped || running !== null) return;
    clearTimeout(timer);
    timer = setTimeout(run, Math.max(0, dueAt - performance.now()));
  }

  function run(): void {
    dueAt = Infinity;
    running = work()
      .catch(failed)
      .finally(() => {
        running = null;
        within(period);
      });
  }

  return {
    within,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
