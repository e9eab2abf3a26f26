/**
 * Tells a WebSocket's dead peer from one that reads slowly (dataplane W5, W6). A ping stands behind all that was sent
 * before, megabytes in the buffers of two kernels, so its answer may take as long as reading those. Pure: it is told.
 */

/** Both ends of a bridge are checked so often. Milliseconds. */
export const CHECK_EVERY_MS = 9500;
/** Silent for so many checks, a peer is asked; for so many, one that has nothing left to read is gone: 48 to 57 s. */
const CHECKS_TO_ASK = 2;
const CHECKS_TO_LEAVE = 5;
/** What a peer that reads at 10 KB/s takes from one check to the next. */
const BYTES_PER_CHECK = 95_000;
/** More than two kernels hold: Linux 6.16 lets a receive buffer grow to 32 MiB, a send buffer to 4. */
const MOST_UNREAD = 40 * 1024 * 1024;

export class Keepalive {
  #heard = true;
  #silentChecks = 0;
  /** Bytes sent, and how many of them the peer has read for certain: those before a ping that it has answered. */
  #sent = 0;
  #read = 0;
  /** `#sent` when the ping went out that waits for its answer. */
  #asked: number | null = null;

  /** It said something, or is not listened to. */
  heard(): void {
    this.#heard = true;
  }

  /** It answered a ping. */
  answered(): void {
    this.#heard = true;
    this.#read = this.#asked ?? this.#read;
    this.#asked = null;
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** To be called every CHECK_EVERY_MS. */
  check(): "fine" | "ask" | "gone" {
    this.#silentChecks = this.#heard ? 0 : this.#silentChecks + 1;
    this.#heard = false;
    const unread = Math.min(this.#sent - this.#read, MOST_UNREAD);
    if (this.#silentChecks >= CHECKS_TO_LEAVE + Math.floor(unread / BYTES_PER_CHECK)) return "gone";
    if (this.#asked !== null || (this.#silentChecks < CHECKS_TO_ASK && unread < BYTES_PER_CHECK)) return "fine";
    this.#asked = this.#sent;
    return "ask";
  }
}
