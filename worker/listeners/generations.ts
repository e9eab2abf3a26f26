/**
 * The servers that follow each other on one port: ours when its certificate changes (dataplane F3), because Bun takes no
 * new one for a running server; and the other process's that takes over. Used by the Bun engine and the worker's API.
 */
import type { Bound } from "./bind-shared.ts";
import type { HandOver } from "./handover.ts";
import { handOverOf } from "./lane-handover.ts";
import { openNoted, type OwnSocket } from "./linux-reuseport.ts";

export interface Server {
  stop(closeActive?: boolean): Promise<void>;
}

/**
 * So long an old server serves the connections that it has, telling each with its next answer to close. What is idle
 * even then is closed with it; at once, a request that is on its way over an idle connection would be lost.
 */
const LINGER_MS = 10 * 60_000;

/** While old servers listen too, another process that comes or goes may change the places of all. Milliseconds. */
const WATCH_MS = 500;

/** So long a listener may need to take what stands in its queue. Milliseconds. */
const QUEUE_MS = 100;

/** All its servers share the port with SO_REUSEPORT. */
export class Succession<S extends Server> {
  readonly #port: HandOver;
  /** No longer the newest: they serve what they have. */
  readonly #retired = new Map<S, OwnSocket>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #lingerMs: number;
  #current: S;
  #socket: OwnSocket;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor({ listener, socket, neighbours }: Bound<S>, lingerMs = LINGER_MS) {
    this.#lingerMs = lingerMs;
    this.#current = listener;
    this.#socket = socket;
    this.#port = handOverOf(socket, neighbours);
  }

  /** Opens the next server; new connections go there. Throws, and changes nothing, when it can't be opened. */
  renew(open: () => S): void {
    const [old, oldSocket] = [this.#current, this.#socket];
    this.#port.check();
    const { listener, socket } = openNoted(open);
    [this.#current, this.#socket] = [listener, socket];
    this.#port.joined(socket);
    this.#retired.set(old, oldSocket);
    const retire = () => {
      this.#port.leave(oldSocket, () => void old.stop(false).finally(() => this.#retired.delete(old)));
      if (this.listeners === 1) clearInterval(this.#watch);
    };
    // Connections that stand in the old listener's queue would be reset with it: none may come there any more, and
    // those that are there have to be taken.
    if (!this.#port.steerHere() && !this.#port.isNew) return retire();
    this.#later(retire);
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#port.checkAndSteer(), WATCH_MS).unref();
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
    return this.#port.order.own.length;
  }

  /** Leaves the port to another process that listens there, if one does, and serves what it has for `ms` milliseconds. */
  async handOver(ms: number): Promise<void> {
    await this.#port.finish(ms);
    if (!this.handed) return;
    // Each that leaves changes the places: until they are steered anew, some connections come to the others of ours, which
    // have to take them. All at once, they would be reset.
    for (const [server, socket] of this.#retired) {
      void server.stop(false).finally(() => this.#retired.delete(server));
      this.#port.order.left(socket);
      this.#port.checkAndSteer();
      await Bun.sleep(QUEUE_MS);
    }
  }

  /** Stops them all. */
  async stop(now: boolean): Promise<void> {
    this.#port.cut();
    clearInterval(this.#watch);
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([this.#current, ...this.#retired.keys()].map((server) => server.stop(now)));
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
