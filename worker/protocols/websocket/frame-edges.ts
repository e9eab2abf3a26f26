/**
 * Follows one direction of a WebSocket by the edges of its frames (RFC 6455 §5.2) without a copy: so that a frame of ours
 * can be put between two of theirs. Payloads, masks and extensions are not looked at. A head is read byte by byte into a
 * few numbers: there are two of these for each WebSocket, and most of them are idle.
 */
import { OPCODE } from "./frames.ts";

export class FrameEdges {
  /** A Close has begun: no frame of ours may follow (RFC 6455 §5.5.1). */
  hasClose = false;
  /** Whether the last bytes held some of a message, be it only its head: pings and pongs are none. */
  hadMessage = false;
  #isMessage = false;
  /** Bytes of the present frame's head that have come; 0 when it is whole, or none has begun. */
  #inHead = 0;
  #opcode = 0;
  #mask = 0;
  /** Bytes of the head's length that are still to come. */
  #ofLength = 0;
  /** Bytes of the present frame that are still to come; in its head, what is known of its length. */
  #left = 0;

  /** Between two frames. */
  get isBetween(): boolean {
    return this.#left === 0 && this.#inHead === 0;
  }

  /** These bytes pass. Gives the place behind the last whole frame among them, or -1 when none ends there. */
  pass(bytes: Uint8Array): number {
    let at = 0;
    let edge = -1;
    this.hadMessage = false;
    while (at < bytes.length) {
      this.hadMessage ||= this.#isMessage;
      if (this.#inHead === 0 && this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
      } else if (!this.#readHead(bytes[at++] ?? 0)) continue;
      if (!this.isBetween) continue;
      edge = at;
      this.#isMessage = false;
    }
    return edge;
  }

  // --- internal ---

  /** True when the head is whole: mask and payload follow. */
  #readHead(byte: number): boolean {
    const at = this.#inHead++;
    if (at === 0) {
      this.#opcode = byte & 0x0f;
      return false;
    }
    if (at === 1) {
      const short = byte & 127;
      this.#mask = byte > 127 ? 4 : 0;
      this.#ofLength = short < 126 ? 0 : short === 126 ? 2 : 8;
      this.#left = short < 126 ? short : 0;
    } else {
      this.#left = this.#left * 256 + byte;
      this.#ofLength--;
    }
    if (this.#ofLength > 0) return false;
    this.#inHead = 0;
    this.#left += this.#mask;
    this.#isMessage = this.#opcode < OPCODE.close;
    this.hadMessage ||= this.#isMessage;
    this.hasClose ||= this.#opcode === OPCODE.close;
    return true;
  }
}
