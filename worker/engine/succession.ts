/**
 * The servers that follow each other on one port: ours when its certificate changes (dataplane F3), because Bun takes no
 * new one for a running server; and the other process's that takes over. Used by the Bun engine and the worker's API.
 */
import type { Claim } from "./claim.ts";
import { HandOver } from "./hand-over.ts";

export interface Server {
  stop(closeActive?: boolean): Promise<void>;
}

export interface SuccessionSettings {
  port: number;
  /** What was found there. */
  claim?: Claim;
  lingerMs?: number;
}

/**
 * So long an old server serves the connections that it has, telling each with its next answer to close. What is idle
 * even then is closed with it; at once, a request that is on its way over an idle connection would be lost.
 */
const LINGER_MS = 10 * 60_000;

/** All its servers share the port with SO_REUSEPORT. */
export class Succession<S extends Server> {
  readonly #port: HandOver<S>;
  /** No longer the newest: they serve what they have. */
  readonly #retired = new Set<S>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #lingerMs: number;
  #current: S;

  constructor(first: S, { port, claim, lingerMs = LINGER_MS }: SuccessionSettings) {
    this.#lingerMs = lingerMs;
    this.#current = first;
    this.#port = new HandOver(port, first, claim);
  }

  /** Opens the next server; new connections go there. Throws, and changes nothing, when it can't be opened. */
  renew(open: () => S): void {
    const old = this.#current;
    this.#port.look();
    this.#current = open();
    this.#port.order.joined(this.#current);
    this.#retired.add(old);
    const retire = () => {
      this.#port.look();
      this.#port.order.left(old);
      void old.stop(false).finally(() => this.#retired.delete(old));
      this.#port.steerHere();
    };
    // Connections that stand in the old listener's queue would be reset with it: none may come there any more, and
    // those that are there have to be taken.
    if (this.#port.steerHere() || this.#port.isHeir) this.#later(retire);
    else retire();
  }

  /** The answer of an old server asks its client to come back over a new connection. */
  farewell<A extends Response | undefined>(server: S, answer: A): A {
    if (server !== this.#current || this.handed) answer?.headers.set("Connection", "close");
    return answer;
  }

  /** True once another process has the new connections. */
  get handed(): boolean {
    return this.#port.handed;
  }

  /** How many of ours listen: more than one for a while after a renewal. */
  get listeners(): number {
    return this.#port.order.own;
  }

  /** Leaves the port to another process that listens there, if one does, and serves what it has for `ms` milliseconds. */
  handOver(ms: number): Promise<void> {
    return this.#port.finish(ms);
  }

  /** Stops them all. */
  async stop(now: boolean): Promise<void> {
    this.#port.cut();
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([this.#current, ...this.#retired].map((server) => server.stop(now)));
  }

  // --- internal ---

  #later(retire: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      retire();
    }, this.#lingerMs);
    timer.unref();
    this.#timers.add(timer);
  }
}
