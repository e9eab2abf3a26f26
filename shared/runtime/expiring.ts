/**
 * Remembers keys for a time, and so many at most: the oldest are forgotten first. For keys that live about equally long, so
 * that the order in which they were set is that in which they expire.
 */
export class Expiring<V> {
  readonly #kept = new Map<string, { value: V; until: number }>();
  readonly #most: number;
  readonly #now: () => number;

  /** `now` gives milliseconds. */
  constructor(most: number, now: () => number) {
    this.#most = most;
    this.#now = now;
  }

  /** Undefined when its time is over. */
  get(key: string): V | undefined {
    const kept = this.#kept.get(key);
    return kept !== undefined && kept.until > this.#now() ? kept.value : undefined;
  }

  /** Keeps it for `ms` milliseconds from now on. */
  set(key: string, value: V, ms: number): void {
    this.#kept.delete(key);
    this.#kept.set(key, { value, until: this.#now() + ms });
    this.#forget();
  }

  /** How many are kept whose time is not over. */
  count(): number {
    this.#forget();
    return this.#kept.size;
  }

  // --- internal ---

  #forget(): void {
    for (const [old, { until }] of this.#kept) {
      if (until > this.#now() && this.#kept.size <= this.#most) break;
      this.#kept.delete(old);
    }
  }
}
