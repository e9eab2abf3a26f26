/**
 * WebSocket frames (RFC 6455 §5) towards an app: written with a mask, read without one. Pure, but for the random masks.
 * Messages are joined from their fragments; there are no extensions, because none is offered.
 */
import { isUtf8 } from "node:buffer";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
type DataOpcode = typeof OPCODE.text | typeof OPCODE.binary;

/** What a reader tells. A handler must not keep `payload` beyond the call. */
export interface FrameHandlers {
  message(opcode: DataOpcode, payload: Buffer): void;
  ping(payload: Buffer): void;
  pong(): void;
  /** 1005 when there is no code. Nothing is told after it. */
  close(code: number, reason: string): void;
}

/** The other side broke the protocol: `code` is what it is closed with. */
export class FrameError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The longest that a frame with this payload can be. */
export function frameRoom(payload: string | Uint8Array): number {
  return 14 + (typeof payload === "string" ? payload.length * 3 : payload.byteLength);
}

/** Writes a masked frame (RFC 6455 §5.3: a client masks all it sends) at `at`, where there must be `frameRoom`. Gives its length. */
export function writeFrame(out: Buffer, at: number, opcode: number, payload: string | Uint8Array): number {
  const length = typeof payload === "string" ? Buffer.byteLength(payload) : payload.byteLength;
  const mask = freshMask();
  const start = writeHead(out, at, opcode, length, mask);
  if (typeof payload === "string") out.write(payload, start, length, "utf8");
  else out.set(payload, start);
  maskBytes(out, start, start + length, mask);
  return start + length - at;
}

/** Masks a payload where it stands, and gives the head to send before it: a copy of a large one would cost as much again. */
export function maskInPlace(opcode: number, payload: Uint8Array): Buffer {
  const mask = freshMask();
  const head = Buffer.allocUnsafe(14);
  const length = writeHead(head, 0, opcode, payload.byteLength, mask);
  maskBytes(payload, 0, payload.byteLength, mask);
  return head.subarray(0, length);
}

/** The payload of a close frame; empty for 1005. */
export function closePayload(code: number, reason: string): Buffer {
  if (code === 1005) return Buffer.alloc(0);
  let text = Buffer.from(reason, "utf8").subarray(0, 123);
  // Cut where a character ends: half of one would be a protocol error.
  while (!isUtf8(text)) text = text.subarray(0, -1);
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), text]);
}

const EMPTY = Buffer.alloc(0);

/** A frame that is not longer than this is held until it is whole; the payload of longer ones is gathered as it comes. */
const HELD = 512;
/** So much memory is given to a message before its bytes have come. */
const GIVEN = 1024 * 1024;

/** Reads frames from chunks as they come. Throws FrameError; nothing can be read after that. */
export class FrameReader {
  readonly #handlers: FrameHandlers;
  readonly #limit: number;
  /** Start of a frame that is not whole yet, and how many bytes it needs before another look makes sense. */
  #hold = EMPTY;
  #held = 0;
  #needed = 2;
  /** A message that came in parts so far: null when there is none. */
  #opcode: DataOpcode | null = null;
  #gathered = EMPTY;
  #length = 0;
  /** Of the frame whose payload is being gathered. */
  #left = 0;
  #final = false;
  #closed = false;

  /** `limit` is the longest message in bytes. */
  constructor(handlers: FrameHandlers, limit: number) {
    this.#handlers = handlers;
    this.#limit = limit;
  }

  /** Bytes of a message that is not whole yet. */
  get pending(): number {
    return this.#length;
  }

  read(chunk: Buffer): void {
    let at = this.#held === 0 ? 0 : this.#complete(chunk);
    while (at < chunk.length && !this.#closed) {
      const taken = this.#take(chunk, at, chunk.length);
      if (taken === 0) {
        if (this.#hold === EMPTY) this.#hold = Buffer.allocUnsafeSlow(HELD + 10);
        this.#held = chunk.copy(this.#hold, 0, at);
        return;
      }
      at += taken;
    }
  }

  // --- internal ---

  /** Adds to the frame that is held until it is whole. Gives how many bytes of the chunk that took. */
  #complete(chunk: Buffer): number {
    let at = 0;
    while (this.#held > 0 && at < chunk.length) {
      const added = chunk.copy(this.#hold, this.#held, at, at + this.#needed - this.#held);
      this.#held += added;
      at += added;
      if (this.#held < this.#needed) break;
      if (this.#take(this.#hold, 0, this.#held) > 0) this.#held = 0;
    }
    return at;
  }

  /** Takes what can be taken at `at` and gives its length; 0 when more is needed, and `#needed` says how much in all. */
  #take(bytes: Buffer, at: number, end: number): number {
    if (this.#left > 0) return this.#gatherRest(bytes, at, end);
    this.#needed = 2;
    if (end - at < 2) return 0;
    const first = bytes[at] ?? 0;
    const second = bytes[at + 1] ?? 0;
    this.#check(first, second);
    const head = second < 126 ? 2 : second === 126 ? 4 : 10;
    this.#needed = head;
    if (end - at < head) return 0;
    const length =
      head === 2
        ? second
        : head === 4
          ? bytes.readUInt16BE(at + 2)
          : bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6);
    if (length + this.#length > this.#limit) throw new FrameError(1009, `a message of over ${this.#limit} bytes`);
    const start = at + head;
    if (end - start >= length) {
      this.#handle(first, bytes.subarray(start, start + length));
      return head + length;
    }
    this.#needed = head + length;
    if (length <= HELD) return 0;
    this.#opcode ??= (first & 15) as DataOpcode;
    this.#final = first > 127;
    this.#left = length;
    return head;
  }

  /** Throws for what must not stand in the first two bytes of a frame. */
  #check(first: number, second: number): void {
    if ((first & 0x70) !== 0) throw new FrameError(1002, "an extension was used that was not agreed on");
    if (second > 127) throw new FrameError(1002, "a server must not mask its frames");
    const opcode = first & 15;
    if (opcode >= 8) {
      if (opcode > OPCODE.pong) throw new FrameError(1002, `opcode ${opcode} is reserved`);
      if (first < 128 || second > 125) throw new FrameError(1002, "a control frame is fragmented or too long");
    } else if (opcode > 2) throw new FrameError(1002, `opcode ${opcode} is reserved`);
    else if ((opcode === OPCODE.continuation) !== (this.#opcode !== null))
      throw new FrameError(1002, "a fragment is out of place");
  }

  /** A frame that is whole. */
  #handle(first: number, payload: Buffer): void {
    const opcode = first & 15;
    if (opcode >= 8) return this.#control(opcode, payload);
    const final = first > 127;
    if (final && this.#opcode === null) return this.#handlers.message(opcode as DataOpcode, payload);
    this.#opcode ??= opcode as DataOpcode;
    this.#gather(payload, 0, payload.length, 0);
    if (final) this.#deliver();
  }

  #gatherRest(bytes: Buffer, at: number, end: number): number {
    const taken = Math.min(this.#left, end - at);
    this.#left -= taken;
    this.#gather(bytes, at, at + taken, this.#left);
    if (this.#left === 0 && this.#final) this.#deliver();
    return taken;
  }

  /** Adds to the message; `left` bytes of the same frame follow. */
  #gather(bytes: Buffer, from: number, to: number, left: number): void {
    const length = this.#length + to - from;
    if (length > this.#gathered.length) {
      // Grows with what has come, not with what was announced; the last growth of a long frame is exact.
      const room = left === 0 ? Math.max(length * 2, HELD) : Math.min(Math.max(length * 4, GIVEN), length + left);
      const grown = Buffer.allocUnsafeSlow(room);
      this.#gathered.copy(grown, 0, 0, this.#length);
      this.#gathered = grown;
    }
    bytes.copy(this.#gathered, this.#length, from, to);
    this.#length = length;
  }

  #deliver(): void {
    const kind = this.#opcode ?? OPCODE.binary;
    const whole = this.#gathered.subarray(0, this.#length);
    this.#opcode = null;
    this.#gathered = EMPTY;
    this.#length = 0;
    this.#handlers.message(kind, whole);
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.ping) return this.#handlers.ping(payload);
    if (opcode === OPCODE.pong) return this.#handlers.pong();
    const code = payload.length === 0 ? 1005 : payload.length === 1 ? 0 : payload.readUInt16BE(0);
    if (code !== 1005 || payload.length > 0) {
      if (!isSendable(code)) throw new FrameError(1002, `close code ${code} must not be sent`);
      if (!isUtf8(payload.subarray(2))) throw new FrameError(1007, "a close reason is no UTF-8");
    }
    this.#closed = true;
    this.#handlers.close(code, payload.toString("utf8", 2));
  }
}

// --- internal ---

/** Gives where the payload begins. */
function writeHead(out: Buffer, at: number, opcode: number, length: number, mask: number): number {
  out[at] = 0x80 | opcode;
  let end = at + 2;
  if (length < 126) out[at + 1] = 0x80 | length;
  else if (length < 65_536) {
    out[at + 1] = 0x80 | 126;
    end = out.writeUInt16BE(length, end);
  } else {
    out[at + 1] = 0x80 | 127;
    end = out.writeUInt32BE(Math.floor(length / 2 ** 32), end);
    end = out.writeUInt32BE(length >>> 0, end);
  }
  for (let n = 0; n < 4; n++) out[end++] = mask >>> (8 * n);
  return end;
}

/** RFC 6455 §7.4 and the registry: 1004–1006 and 1015 are never sent, 1016–2999 are reserved. */
function isSendable(code: number): boolean {
  return (code >= 3000 && code <= 4999) || (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006));
}

/** Random words made in bulk: one system call for a thousand masks. */
const masks = new Uint32Array(1024);
let nextMask = masks.length;

function freshMask(): number {
  if (nextMask === masks.length) {
    crypto.getRandomValues(masks);
    nextMask = 0;
  }
  return masks[nextMask++] ?? 0;
}

/** Shorter payloads are masked byte by byte: a view on their words would cost more. */
const WORDS_FROM = 64;

/** Masks in place; the mask's lowest byte is the first one (words are little-endian wherever Bun runs). */
function maskBytes(bytes: Uint8Array, from: number, to: number, mask: number): void {
  let at = from;
  let key = mask;
  if (to - from >= WORDS_FROM) {
    for (; ((bytes.byteOffset + at) & 3) !== 0; at++) {
      bytes[at] = (bytes[at] ?? 0) ^ (key & 255);
      key = (key >>> 8) | (key << 24);
    }
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, (to - at) >> 2);
    for (let n = 0; n < words.length; n++) words[n] = (words[n] ?? 0) ^ key;
    at += words.length * 4;
  }
  for (; at < to; at++) {
    bytes[at] = (bytes[at] ?? 0) ^ (key & 255);
    key = (key >>> 8) | (key << 24);
  }
}
