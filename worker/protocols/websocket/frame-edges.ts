/**
 * Follows one direction of a WebSocket by the edges of its frames (RFC 6455 §5.2) without a copy: so that a frame of ours
 * can be put between two of theirs. Payloads, masks and extensions are not looked at.
 */
import { OPCODE } from "./frames.ts";

export class FrameEdges {
  /** A Close has begun: no frame of ours may follow (RFC 6455 §5.5.1). */
  hasClose = false;
  /** Whether the last bytes held some of a message, be it only its head: pings and pongs are none. */
  hadMessage = false;
  /** Bytes of the present frame that are still to come; its head may not be whole. */
  #left = 0;
  #isMessage = false;
  readonly #head = Buffer.alloc(10);
  #held = 0;

  /** Between two frames. */
  get isBetween(): boolean {
    return this.#left === 0 && this.#held === 0;
  }

  /** These bytes pass. Gives the place behind the last whole frame among them, or -1 when none ends there. */
  pass(bytes: Uint8Array): number {
    let at = 0;
    let edge = -1;
    this.hadMessage = false;
    while (at < bytes.length) {
      this.hadMessage ||= this.#isMessage;
      if (this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
      } else {
        this.#head[this.#held++] = bytes[at++] ?? 0;
        const length = this.#lengthOfRest();
        if (length === null) continue;
        this.#held = 0;
        this.#left = length;
        const opcode = (this.#head[0] ?? 0) & 0x0f;
        this.#isMessage = opcode < OPCODE.close;
        this.hadMessage ||= this.#isMessage;
        this.hasClose ||= opcode === OPCODE.close;
      }
      if (!this.isBetween) continue;
      edge = at;
      this.#isMessage = false;
    }
    return edge;
  }

  // --- internal ---

  /** Mask and payload behind a head; null when the head is not whole. */
  #lengthOfRest(): number | null {
    if (this.#held < 2) return null;
    const second = this.#head[1] ?? 0;
    const mask = second > 127 ? 4 : 0;
    const short = second & 127;
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (this.#held < head) return null;
    if (head === 2) return short + mask;
    if (head === 4) return this.#head.readUInt16BE(2) + mask;
    return this.#head.readUInt32BE(2) * 2 ** 32 + this.#head.readUInt32BE(6) + mask;
  }
}
