/** Random numbers that a seed repeats: a trial makes the same choices whenever it is run. */

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** One of the entries, as often as its weight says. */
  weighted<T extends { weight: number }>(from: readonly T[]): T;
  /** Another sequence that depends on this one's seed and the name alone, so that parallel actors don't disturb each other. */
  fork(name: string): Random;
  uuid(): string;
}

/** mulberry32: 32 bits of state, good enough to choose faults. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  function pick<T>(from: readonly T[]): T {
    if (from.length === 0) throw new Error("nothing to pick from");
    return from[between(0, from.length - 1)] as T;
  }
  return {
    next,
    between,
    pick,
    chance: (probability) => next() < probability,
    weighted(from) {
      let left = next() * from.reduce((sum, { weight }) => sum + weight, 0);
      for (const one of from) if ((left -= one.weight) < 0) return one;
      return pick(from);
    },
    fork: (name) => createRandom(hashOf(`${seed}/${name}`)),
    uuid() {
      const hex = Array.from({ length: 32 }, () => between(0, 15).toString(16)).join("");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
    },
  };
}

/** A seed made of a text. */
export function hashOf(text: string): number {
  return Bun.hash.xxHash32(text);
}
