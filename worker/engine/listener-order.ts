/**
 * The listeners of one shared port, in the order in which the kernel counts them: who joins is the last, and when one
 * leaves, the last takes its place. Ours are known; other processes' are seen from time to time, by inode.
 */
export class ListenerOrder<S extends object> {
  #all: (S | number)[];
  #newest: S;
  readonly #elders: Set<number>;

  /** `elders` listened before `first` did. */
  constructor(first: S, elders: readonly number[] = []) {
    this.#all = [...elders, first];
    this.#newest = first;
    this.#elders = new Set(elders);
  }

  joined(one: S): void {
    this.#all.push(one);
    this.#newest = one;
  }

  left(one: S | number): void {
    const at = this.#all.indexOf(one);
    if (at === -1) return;
    const last = this.#all.pop();
    if (last !== undefined && at < this.#all.length) this.#all[at] = last;
  }

  /** Other processes' listeners as they are now. Exact as long as no two of them changed since the last time. */
  seen(others: readonly number[]): void {
    const now = new Set(others);
    // Two processes at most: while the elder is there, what is new is its own.
    if (others.some((one) => this.#elders.has(one))) for (const one of others) this.#elders.add(one);
    for (const one of this.#all.filter((one) => typeof one === "number" && !now.has(one))) this.left(one);
    for (const one of others) if (!this.#all.includes(one)) this.#all.push(one);
  }

  /** Place of the newest of ours; -1 when it does not listen. */
  get newest(): number {
    return this.#all.indexOf(this.#newest);
  }

  /** Place of the newest listener of a process that came later; -1 when there is none. */
  get successor(): number {
    return this.#all.findLastIndex((one) => typeof one === "number" && !this.#elders.has(one));
  }

  /** True while the process that is taken over from listens: it has the connections. */
  get elderListens(): boolean {
    return this.#all.some((one) => typeof one === "number" && this.#elders.has(one));
  }

  /** How many of ours listen. */
  get own(): number {
    return this.#all.filter((one) => typeof one !== "number").length;
  }
}
