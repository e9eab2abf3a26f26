/**
 * Time limits of many connections for the price of one timer: each has one deadline, which is a number; once in a while all
 * are compared with the clock. A limit is kept to within `STEP_MS`.
 */

/** How often deadlines are looked through. Milliseconds. */
export const STEP_MS = 500;

/** What has a deadline. */
export interface Limited {
  /** performance.now() milliseconds; Infinity for none. */
  deadline: number;
  /** It has passed. `deadline` is Infinity by then. */
  late(): void;
}

export class Deadlines {
  readonly #all = new Set<Limited>();
  #timer: ReturnType<typeof setInterval> | null = null;

  add(one: Limited): void {
    this.#all.add(one);
    this.#timer ??= setInterval(() => this.#sweep(), STEP_MS).unref();
  }

  delete(one: Limited): void {
    this.#all.delete(one);
  }

  /** How many there are. */
  get size(): number {
    return this.#all.size;
  }

  // --- internal ---

  #sweep(): void {
    const now = performance.now();
    for (const one of this.#all) {
      if (one.deadline > now) continue;
      one.deadline = Infinity;
      one.late();
    }
    if (this.#all.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** Of all connections of this process. */
export const deadlines = new Deadlines();
