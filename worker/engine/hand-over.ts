/**
 * How a process leaves a port to its successor, a second process of the same authority that listens there too: new
 * connections go there from now on, and this one keeps its listener until its queue has been taken and clients on idle
 * connections had the time to hear that they should come back.
 */
import { UNSHARED, type Claim } from "./claim.ts";
import { ListenerOrder } from "./listener-order.ts";
import { othersOn, steer } from "./steer.ts";

/** So often it is looked whether the successor still listens: without it, ours would get the connections again. */
const LOOK_MS = 500;

export class HandOver<S extends object> {
  readonly order: ListenerOrder<S>;
  readonly #port: number;
  readonly #cut = Promise.withResolvers<void>();
  #handed = false;

  constructor(port: number, first: S, { elders, alone }: Claim = UNSHARED) {
    this.#port = port;
    this.order = new ListenerOrder(first, elders);
    // The kernel still sends connections to where the successor stood beside its predecessor: that would be the place of
    // our own successor.
    void alone?.then(() => {
      this.look();
      this.steerHere();
    });
  }

  /** True once a successor has the new connections. */
  get handed(): boolean {
    return this.#handed;
  }

  /** True while the process that is taken over from listens: where new connections go is its affair. */
  get isHeir(): boolean {
    return this.order.elderListens;
  }

  /** New connections go to the newest of ours. False when the system can't do that, or they are another process's. */
  steerHere(): boolean {
    const { newest } = this.order;
    return !this.#handed && !this.isHeir && newest !== -1 && steer(this.#port, newest);
  }

  /** Sees who else listens. */
  look(): void {
    this.order.seen(othersOn(this.#port));
  }

  /** Gives new connections to the successor. False when there is none: then closing is all that can be done. */
  begin(): boolean {
    if (this.#handed) return true;
    this.look();
    const { successor } = this.order;
    return (this.#handed = successor !== -1 && steer(this.#port, successor));
  }

  /** Hands over, and resolves when the listener may be closed: at once without a successor, else after `ms` milliseconds. */
  async finish(ms: number): Promise<void> {
    if (!this.begin()) return;
    const end = performance.now() + ms;
    let waiting = true;
    void this.#cut.promise.then(() => (waiting = false));
    while (waiting) {
      const left = end - performance.now();
      if (left <= 0) return;
      await Promise.race([Bun.sleep(Math.min(left, LOOK_MS)), this.#cut.promise]);
      this.look();
      // It has closed this port, as the circuit is gone, or it has died.
      if (this.order.successor === -1) return;
    }
  }

  /** Ends a `finish` that waits. */
  cut(): void {
    this.#cut.resolve();
  }
}
