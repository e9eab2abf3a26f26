/**
 * How long a client may keep us waiting, for more of its body and for taking its answer: neither `Bun.serve` nor `fetch` has a
 * limit for that, and the connection's own one has to be off, because apps may be silent for as long as they like.
 */
import { deadlines, type Limited } from "../../net/deadlines.ts";
import type { ConnectionLimits } from "../../seam/engine.ts";

/** What `Bun.serve` takes. Seconds. */
const MOST_SECONDS = 255;
/** It looks so often (uSockets' sweep), and closes at the last look before the time is over: asked for less, a kept connection goes at once. Seconds. */
const SWEEP_SECONDS = 4;

/** Who has sent a request. */
export class ServedClient {
  readonly limits: Pick<ConnectionLimits, "bodyMs" | "readerMs">;
  readonly #request: Request;
  readonly #server: Pick<Bun.Server<unknown>, "timeout">;

  constructor(request: Request, server: Pick<Bun.Server<unknown>, "timeout">, limits: ServedClient["limits"]) {
    this.#request = request;
    this.#server = server;
    this.limits = limits;
  }

  /** Its connection is closed within some seconds, when nothing moves on it. */
  cut(): void {
    this.#server.timeout(this.#request, 1);
  }

  /** Its whole answer is Bun's: what the client does not take of it ends with its connection. The next request is not concerned. */
  hasAnswer(): void {
    const seconds = Math.ceil(this.limits.readerMs / 1000) + SWEEP_SECONDS;
    this.#server.timeout(this.#request, Math.min(MOST_SECONDS, seconds));
  }
}

/** Waits for a client, now and then. */
export class Patience implements Limited {
  deadline = Infinity;
  readonly #ms: number;
  readonly #late: () => void;

  /** `late` is called when it was waited for longer than so many milliseconds. Must not throw. */
  constructor(ms: number, late: () => void) {
    this.#ms = ms;
    this.#late = late;
  }

  /** It is the client's turn. */
  waits(): void {
    this.deadline = performance.now() + this.#ms;
    // Only while it waits: Bun tells nobody of a body that it never asked for.
    deadlines.add(this);
  }

  /** It is not, or there is nothing more to wait for. */
  rests(): void {
    this.deadline = Infinity;
    deadlines.delete(this);
  }

  late(): void {
    this.rests();
    this.#late();
  }
}
