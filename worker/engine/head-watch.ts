/**
 * Looks after requests whose answer takes a while. Most apps answer within a few milliseconds, so what only slow ones
 * need is done on a tick: to hear that the client leaves, and a connect limit, which `fetch` does not have.
 */
import { CONNECT_LIMIT_MS, reach } from "./dial.ts";

/** A request that waits for its answer. */
export interface Waiting {
  readonly host: string;
  readonly port: number;
  /** When it was first looked at, performance.now() milliseconds; 0 before. Kept by the watch. */
  since: number;
  /** From now on it hears that the client leaves, also when that has happened already. Once. */
  guard(): void;
  /** No connection within the limit. */
  late(): void;
}

/** A client that leaves is heard within this and the time of an abort: dataplane H9 gives 100 ms in all. */
const LOOK_EVERY_MS = 40;
/** A request that has waited so long may not even be connected. Milliseconds. */
const SUSPICIOUS_MS = 3000;

export class HeadWatch {
  readonly #young = new Set<Waiting>();
  /** In order of `since`. */
  readonly #slow = new Set<Waiting>();
  #timer: ReturnType<typeof setInterval> | null = null;

  add(one: Waiting): void {
    this.#young.add(one);
    this.#timer ??= setInterval(() => this.#look(performance.now()), LOOK_EVERY_MS);
  }

  done(one: Waiting): void {
    if (!this.#young.delete(one)) this.#slow.delete(one);
  }

  // --- internal ---

  #look(now: number): void {
    for (const one of this.#young) {
      one.since = now;
      one.guard();
      this.#slow.add(one);
    }
    this.#young.clear();
    this.#suspect(now);
    if (this.#slow.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /**
   * A limit for the whole head would cut slow answers. So where one is slow, the same address is dialled, once for all
   * who wait for it: it accepts, so they are connected and may wait on; or it does not.
   */
  #suspect(now: number): void {
    const groups = new Map<string, Waiting[]>();
    for (const one of this.#slow) {
      if (now - one.since < SUSPICIOUS_MS) break;
      this.#slow.delete(one);
      const key = `${one.host} ${one.port}`;
      groups.set(key, [...(groups.get(key) ?? []), one]);
    }
    for (const group of groups.values()) void ask(group, now);
  }
}

// --- internal ---

async function ask(group: readonly Waiting[], now: number): Promise<void> {
  const [first] = group;
  if (first === undefined) return;
  const found = await reach(first.host, first.port, first.since + CONNECT_LIMIT_MS - now);
  if (found === "late") for (const one of group) one.late();
}
