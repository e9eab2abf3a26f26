/**
 * Work that gathers and is done together a moment later: one at a time, again when more has come meanwhile, and again after a
 * pause when it failed. What has gathered is the caller's; this is only when.
 */
export interface LaterWork {
  /** Does what has gathered. False when that failed and is to be tried again. Never rejects. */
  work: () => Promise<boolean>;
  /** Whether anything has gathered. */
  isDue: () => boolean;
  /** How long it gathers, and the pause after a failure. Milliseconds. */
  afterMs: number;
  retryMs: number;
}

export class Later {
  readonly #what: LaterWork;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(what: LaterWork) {
    this.#what = what;
  }

  /** Something has gathered. */
  soon(): void {
    if (this.#running === null) this.#in(this.#what.afterMs);
  }

  /** Does what is left, once, after what is being done; nothing by itself any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
    if (this.#what.isDue()) await this.#what.work();
  }

  // --- internal ---

  #in(ms: number): void {
    if (this.#stopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#running = this.#run();
    }, ms);
  }

  async #run(): Promise<void> {
    const { work, isDue, afterMs, retryMs } = this.#what;
    let done = false;
    try {
      done = await work();
    } finally {
      this.#running = null;
      if (isDue()) this.#in(done ? afterMs : retryMs);
    }
  }
}
