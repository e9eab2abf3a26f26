/**
 * The writing half of a connection: bytes go to the system at once; what it does not take is held, and whoever brings them
 * pauses until there is room again. So about one read is held, never more.
 */

import { giveBackLarge } from "../../net/spent.ts";

/** What a head and the first bytes of its body are put together in: two writes are two system calls. */
const scratch = Buffer.allocUnsafeSlow(128 * 1024);

/** Whose connection it is. */
export interface OutletOwner {
  /** The system takes no more, and something is held. */
  outIsFull(): void;
  /**
   * What is written reaches nobody any more. `reset`: its peer has reset it, which the system tells once: a write has found
   * it, so that Bun tells an end in good order. `flood`: much more comes than is held, though its source was asked to pause:
   * Bun reads one that was reset to its end.
   */
  outIsBroken(why: "reset" | "flood"): void;
}

/** Two reads: what comes on top comes from a source that does not pause. Bytes. */
const MAX_HELD = 1024 * 1024;

export class Outlet {
  owner: OutletOwner;
  readonly #socket: Pick<Bun.Socket<unknown>, "write" | "shutdown">;
  /** In the order in which they came: joined when there is room, or thousands of pieces would cost their square. */
  #unsent: Buffer[] | null = null;
  /** How much of it came while there was no room. */
  #flooded = 0;
  #isBroken = false;
  #isEnding = false;
  #hasEnded = false;

  constructor(socket: Pick<Bun.Socket<unknown>, "write" | "shutdown">, owner: OutletOwner) {
    this.#socket = socket;
    this.owner = owner;
  }

  /** Nothing is held back. */
  get isEmpty(): boolean {
    return this.#unsent === null;
  }

  /** FIN is on its way: all that was written before it is with the system. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Those from one place up to another; none is looked at afterwards. False when some are held: their source is to pause. */
  write(bytes: Buffer, from = 0, to = bytes.length): boolean {
    if (from === to || this.#isEnding) return this.isEmpty;
    if (this.#isBroken) return false;
    if (this.#unsent !== null) {
      // A read that was under way when this side filled up comes after what waits.
      this.#flooded += to - from;
      if (this.#flooded > MAX_HELD) return this.#broke("flood");
      this.#unsent.push(Buffer.from(bytes.subarray(from, to)));
      return false;
    }
    const written = this.#socket.write(bytes, from, to - from);
    if (written === to - from) return true;
    if (written < 0) return this.#broke("reset");
    this.#unsent = [Buffer.from(bytes.subarray(from + written, to))];
    this.owner.outIsFull();
    return false;
  }

  /** A head (latin1) and what has come of its body. As `write`. */
  writeHead(head: string, body: Buffer | null, from = 0, to = body?.length ?? 0): boolean {
    const length = head.length + to - from;
    if (length > scratch.length) {
      const isEmpty = this.write(Buffer.from(head, "latin1"));
      return body === null ? isEmpty : this.write(body, from, to);
    }
    scratch.write(head, 0, head.length, "latin1");
    body?.copy(scratch, head.length, from, to);
    return this.write(scratch, 0, length);
  }

  /** The system has room again, and has taken some of what is held. True when nothing is held any more. */
  drain(): boolean {
    if (this.#isBroken) return false;
    const [first, ...more] = this.#unsent ?? [];
    this.#unsent = null;
    this.#flooded = 0;
    if (first !== undefined) {
      const bytes = more.length === 0 ? first : Buffer.concat([first, ...more]);
      const written = this.#socket.write(bytes);
      if (written < 0) return this.#broke("reset");
      if (written < bytes.length) this.#unsent = [bytes.subarray(written)];
      else giveBackLarge(bytes);
    }
    if (!this.isEmpty) return false;
    if (this.#isEnding) this.#shutdown();
    return true;
  }

  /** No more bytes come: FIN, behind what is held. */
  end(): void {
    this.#isEnding = true;
    if (this.isEmpty) this.#shutdown();
  }

  // --- internal ---

  /** Nothing is empty again: whoever writes goes on as with a peer that takes nothing, until the connection is gone. */
  #broke(why: "reset" | "flood"): false {
    this.#isBroken = true;
    this.#unsent = [];
    this.owner.outIsBroken(why);
    return false;
  }

  #shutdown(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#socket.shutdown();
  }
}
