/**
 * Looks after requests whose answer takes a while. Most apps answer within a few milliseconds, so what only slow ones
 * need is done on a tick: to hear that the client leaves, and a connect limit, which `fetch` does not have.
 */
import { connecting } from "../../net/linux-syn-sent.ts";
import { CONNECT_LIMIT_MS, dialling, reach } from "../../net/dial.ts";
import { judged } from "../../net/targets.ts";

/** A request that waits for its answer. */
export interface Waiting {
  /** "" until one is chosen. */
  readonly address: string;
  readonly port: number;
  /** When it was first checked, performance.now() milliseconds; 0 before. Kept by the watch. */
  since: number;
  /** True when the head of the answer has come: only the client is of interest then. */
  readonly connected: boolean;
  /** From now on it hears that the client leaves, also when that has happened already. Once. */
  guard(): void;
  /** No connection within the limit. */
  late(): void;
}

/** A client that leaves is heard within this and the time of an abort: dataplane H9 gives 100 ms in all. */
const CHECK_EVERY_MS = 40;
/** A request that has waited so long may not even be connected. Milliseconds. */
const SUSPICIOUS_MS = 3000;

export class HeadWatch {
  readonly #young = new Set<Waiting>();
  /** When it may be suspected, performance.now() milliseconds; in that order. */
  readonly #slow = new Map<Waiting, number>();
  /** Their address is being dialled. */
  readonly #suspected = new Set<Waiting>();
  #timer: ReturnType<typeof setInterval> | null = null;

  add(one: Waiting): void {
    this.#young.add(one);
    this.#timer ??= setInterval(() => this.#check(performance.now()), CHECK_EVERY_MS);
  }

  done(one: Waiting): void {
    if (this.#young.delete(one) || this.#slow.delete(one)) return;
    this.#suspected.delete(one);
  }

  // --- internal ---

  #check(now: number): void {
    for (const one of this.#young) {
      one.since = now;
      one.guard();
      this.#slow.set(one, now + SUSPICIOUS_MS);
    }
    this.#young.clear();
    this.#suspect(now);
    if (this.#slow.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Requests that have waited long are looked after in groups: one address, one dial. */
  #suspect(now: number): void {
    const groups = new Map<string, Waiting[]>();
    for (const [one, at] of this.#slow) {
      if (now < at) break;
      this.#slow.delete(one);
      if (one.connected) continue;
      // What still looks for its address has a limit for that; it connects after.
      if (one.address === "") {
        this.#slow.set(one, now + SUSPICIOUS_MS);
        continue;
      }
      this.#suspected.add(one);
      const key = `${one.address} ${one.port}`;
      groups.set(key, [...(groups.get(key) ?? []), one]);
    }
    for (const [first, ...others] of groups.values()) if (first !== undefined) void this.#ask(first, others, now);
  }

  /**
   * A limit for the whole head would cut slow answers, so the same address is dialled: if it accepts, they are connected
   * and may wait on. If it doesn't, its queue may just be full: only as many are late as are seen to be unconnected.
   * Connections come about in order, so those are the youngest.
   */
  async #ask(first: Waiting, others: readonly Waiting[], now: number): Promise<void> {
    const group = [first, ...others];
    // Some may have come earlier and looked long for the address: nobody is late before the time is up.
    const latest = group.reduce((time, { since }) => Math.max(time, since), 0);
    const limit = Math.max(0, latest + CONNECT_LIMIT_MS - now);
    const found = await reach(judged(first.address, first.port), limit);
    if (found === "late") {
      const unconnected = await connecting(first.address, first.port).catch(() => 0);
      const younger = [...this.#young, ...this.#slow.keys()].filter(
        ({ address, port, connected }) => !connected && address === first.address && port === first.port,
      );
      const late =
        unconnected === null ? group.length : unconnected - dialling(first.address, first.port) - younger.length;
      const waiting = group.filter((one) => this.#suspected.has(one) && !one.connected);
      for (const one of waiting.slice(Math.max(0, waiting.length - Math.max(0, late)))) one.late();
    }
    for (const one of group) this.#suspected.delete(one);
  }
}
