/**
 * The listeners of one shared port, in the order in which the kernel counts them: who joins is the last, and when one
 * leaves, the last takes its place. Ours are known; other processes' are seen from time to time, by inode.
 */
import type { Side } from "./types.ts";

export class ListenerOrder<S extends object> {
  readonly #all: (S | number)[];
  #newest: S;
  readonly #sideOf: (inode: number) => Side;
  /** Of those whose side is known. */
  readonly #sides = new Map<number, Side>();

  /** `others` listened before `first` did, in this order. */
  constructor(first: S, others: readonly number[] = [], sideOf: (inode: number) => Side = () => "foreign") {
    this.#all = [...others, first];
    this.#newest = first;
    this.#sideOf = sideOf;
    this.#learn();
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
    if (typeof one === "number") this.#sides.delete(one);
  }

  /** Other processes' listeners as they are now. Exact as long as no two of them changed since the last time. */
  seen(others: readonly number[]): void {
    const now = new Set(others);
    for (const one of this.#all.filter((one) => typeof one === "number" && !now.has(one))) this.left(one);
    for (const one of others) if (!this.#all.includes(one)) this.#all.push(one);
    this.#learn();
  }

  /** The kernel has been asked for the places of ours: the others stand in between, in the order that was known. */
  placed(places: ReadonlyMap<S, number>): void {
    const others = this.#all.filter((one) => typeof one === "number" || !places.has(one));
    this.#all.length = 0;
    const known = [...places].toSorted(([, one], [, other]) => one - other);
    for (const [one, at] of known) {
      this.#all.push(...others.splice(0, at - this.#all.length));
      this.#all.push(one);
    }
    this.#all.push(...others);
  }

  /** Place of the newest of ours; -1 when it does not listen. */
  get newest(): number {
    return this.#all.indexOf(this.#newest);
  }

  /** Place of the newest listener of a process that came later; -1 when there is none. */
  get successor(): number {
    return this.#all.findLastIndex((one) => this.#isOf(one, "successor"));
  }

  /** True while the process that is taken over from listens: it has the connections. */
  get oldListens(): boolean {
    return this.#all.some((one) => this.#isOf(one, "old"));
  }

  /** Ours that listen. */
  get own(): S[] {
    return this.#all.filter((one) => typeof one !== "number");
  }

  /** Other processes' that listen, as they were seen last. */
  get others(): number[] {
    return this.#all.filter((one) => typeof one === "number");
  }

  // --- internal ---

  /** A foreign process is asked about again: a process says only after a while that it is of this worker. */
  #learn(): void {
    for (const one of this.#all) {
      if (typeof one !== "number" || this.#sides.has(one)) continue;
      const side = this.#sideOf(one);
      if (side !== "foreign") this.#sides.set(one, side);
    }
  }

  #isOf(one: S | number, side: Side): boolean {
    return typeof one === "number" && this.#sides.get(one) === side;
  }
}
