/**
 * Remembers what was used lately, in two generations: when the young one is full it becomes the old one, and what is asked
 * for of that is young again. So the last `size` keys that were used are always there, at most twice as many are, and no
 * look-up moves anything in a list, as an LRU cache's does.
 */
export class Recent<V> {
  readonly #size: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(size: number) {
    this.#size = size;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#size && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }
}

/**
 * The same text, which keeps no other one alive: JavaScriptCore's slices do, so a permit that is remembered would keep the whole
 * head of its request.
 */
export function ownText(text: string): string {
  return Buffer.from(text).toString();
}
