/**
 * How a process leaves a port to its successor, a second process of the same authority that listens there too: new
 * connections go there from now on, and this one keeps its listener until its queue has been taken and clients on idle
 * connections had the time to hear that they should come back.
 */
import { within } from "../../shared/runtime/deadline.ts";
import { UNSHARED, type Neighbours } from "./bind-shared.ts";
import type { Sharing } from "./types.ts";
import { ListenerOrder } from "./order.ts";
import { listenersBefore, listenersBeside } from "./linux-sockets.ts";
import { placeOf } from "./linux-place.ts";
import { steer, type OwnSocket } from "./linux-reuseport.ts";

/** So often it is checked whether the successor still listens: without it, ours would get the connections again. */
const CHECK_MS = 200;
/** So long a successor may take to open the port of a circuit of which both have just heard, and how often that is checked. */
const LATE_MS = 2000;
const LATE_CHECK_MS = 20;

export class HandOver {
  readonly order: ListenerOrder<OwnSocket>;
  readonly #sharing: Sharing | null;
  readonly #cut = Promise.withResolvers<void>();
  #handed = false;
  #over = false;
  /** Where new connections were last steered. */
  #at = -1;

  /**
   * A successor steers nobody when it opens a port: one that fails has lost nobody's connections, and where it stands
   * alone, it has them all.
   */
  constructor(first: OwnSocket, { others, sharing }: Neighbours = UNSHARED) {
    this.#sharing = sharing;
    this.order = new ListenerOrder(first, others, (inode) => sharing?.sideOf(inode) ?? "foreign");
    if (sharing?.isNew() !== true) this.steerHere();
    // The kernel still sends connections to where the successor stood beside its predecessor: that would be the place of
    // our own successor.
    else void sharing.alone.then(() => this.checkAndSteer());
  }

  /** True once a successor has the new connections. */
  get handed(): boolean {
    return this.#handed;
  }

  /** True while the process that is taken over from listens: where new connections go is its affair. */
  get isNew(): boolean {
    return this.order.oldListens;
  }

  /**
   * New connections go to the newest of ours, or where they were handed to. False when the system can't do that, or when
   * they are the old process's.
   */
  steerHere(): boolean {
    if (this.#handed) return this.#steer(this.order.successor);
    return !this.isNew && this.#steer(this.order.newest);
  }

  /** The same after a check: others that come or go may have changed the places. */
  checkAndSteer(): boolean {
    this.check();
    return this.steerHere();
  }

  /** Sees who else listens. */
  check(): void {
    if (!this.#over) this.order.seen(listenersBeside(this.order.own.map(({ inode }) => inode)));
  }

  /**
   * A further listener of ours has been opened. Another process may have come between the last check and that: counted
   * behind ours, it would get our connections before it serves anything, and lose them.
   */
  joined(socket: OwnSocket): void {
    const own = new Set(this.order.own.map(({ inode }) => inode));
    if (socket.inode !== -1) this.order.seen(listenersBefore(socket.inode).filter((inode) => !own.has(inode)));
    this.order.joined(socket);
  }

  /** `close` closes one of ours, which is no longer the newest. Whoever comes meanwhile, new connections stay where they are. */
  leave(socket: OwnSocket, close: () => void): void {
    // Whatever has changed the places so far: nobody may come to its queue any more.
    this.checkAndSteer();
    const known = new Set(this.order.others);
    this.order.left(socket);
    close();
    this.steerHere();
    // What was read of the kernel's tables before is not told of any more by then.
    setImmediate(() => this.#placeBeside(known));
  }

  /** Gives new connections to the successor. False when there is none: then closing is all that can be done. */
  begin(): boolean {
    if (this.#handed) return true;
    this.check();
    return (this.#handed = this.#steer(this.order.successor));
  }

  /** Hands over, and resolves when the listener may be closed: at once without a successor, else after `ms` milliseconds. */
  async finish(ms: number): Promise<void> {
    const end = performance.now() + ms;
    if (!(await this.#canBegin(Math.min(ms, LATE_MS)))) return;
    while (!this.#over) {
      const left = end - performance.now();
      if (left <= 0) return;
      await this.#wait(Math.min(left, CHECK_MS));
      this.check();
      // It has closed this port, as the circuit is gone, or it has died.
      if (this.order.successor === -1) return;
      // It may have opened the port anew, for another circuit.
      this.#steer(this.order.successor);
    }
  }

  /** Ends a `finish` that waits. */
  cut(): void {
    this.#over = true;
    this.#cut.resolve();
  }

  // --- internal ---

  /** One that has come while ours was closed has taken its place, or stands behind all: the tables do not say. */
  #placeBeside(known: ReadonlySet<number>): void {
    if (this.#over) return;
    this.check();
    const { own, others } = this.order;
    if (others.every((inode) => known.has(inode))) return;
    const count = own.length + others.length;
    const places = new Map<OwnSocket, number>();
    for (const socket of own) {
      const at = placeOf(socket, count);
      if (at !== null) places.set(socket, at);
    }
    this.order.placed(places);
    // To find it out, connections were spread over all.
    this.#at = -1;
    this.steerHere();
  }

  /** Begins; the successor of the process may come to a new circuit's port a moment later. */
  async #canBegin(ms: number): Promise<boolean> {
    const end = performance.now() + ms;
    while (!this.begin()) {
      const mayCome = this.#sharing?.isNew() === false && this.#sharing.hasSibling();
      if (this.#over || !mayCome || performance.now() > end) return false;
      await this.#wait(LATE_CHECK_MS);
    }
    return true;
  }

  async #wait(ms: number): Promise<void> {
    await within(ms, this.#cut.promise);
  }

  #steer(at: number): boolean {
    if (at === -1 || this.#over) return false;
    if (at === this.#at) return true;
    // One of them may have been closed in this turn.
    const done = this.order.own.some((socket) => steer(socket, at));
    if (done) this.#at = at;
    return done;
  }
}
