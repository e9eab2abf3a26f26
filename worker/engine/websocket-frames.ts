/**
 * WebSocket frames (RFC 6455 §5) towards an app: made with a mask, read without one. Pure, but for the random masks.
 * Messages are joined from their fragments; there are no extensions, because none is offered.
 */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
type DataOpcode = typeof OPCODE.text | typeof OPCODE.binary;

/** What a reader tells. A handler must not keep `payload` beyond the call. */
export interface FrameHandlers {
  message(opcode: DataOpcode, payload: Buffer): void;
  ping(payload: Buffer): void;
  pong(): void;
  /** 1005 when there is no code. */
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

/** A masked frame (RFC 6455 §5.3: a client masks all it sends). */
export function frame(opcode: number, payload: string | Uint8Array): Buffer {
  const length = typeof payload === "string" ? Buffer.byteLength(payload) : payload.byteLength;
  const head = length < 126 ? 6 : length < 65_536 ? 8 : 14;
  const out = Buffer.allocUnsafe(head + length);
  out[0] = 0x80 | opcode;
  if (length < 126) out[1] = 0x80 | length;
  else if (length < 65_536) {
    out[1] = 0x80 | 126;
    out.writeUInt16BE(length, 2);
  } else {
    out[1] = 0x80 | 127;
    out.writeBigUInt64BE(BigInt(length), 2);
  }
  if (typeof payload === "string") out.write(payload, head, "utf8");
  else out.set(payload, head);
  mask(out, head);
  return out;
}

/** A close frame; without a code for 1005. */
export function closeFrame(code: number, reason: string): Buffer {
  if (code === 1005) return frame(OPCODE.close, "");
  const text = Buffer.from(reason, "utf8").subarray(0, 123);
  return frame(OPCODE.close, Buffer.concat([Buffer.from([code >> 8, code & 255]), text]));
}

/** Reads frames from chunks as they come. Throws FrameError; nothing can be read after that. */
export class FrameReader {
  readonly #handlers: FrameHandlers;
  readonly #limit: number;
  /** Bytes of a frame that is not whole yet, and how many it needs before another look makes sense. */
  #chunks: Buffer[] = [];
  #held = 0;
  #needed = 2;
  /** Fragments of a message. */
  #opcode: DataOpcode | null = null;
  #fragments: Buffer[] = [];
  #length = 0;

  /** `limit` is the longest message in bytes. */
  constructor(handlers: FrameHandlers, limit: number) {
    this.#handlers = handlers;
    this.#limit = limit;
  }

  read(chunk: Buffer): void {
    this.#held += chunk.length;
    if (this.#chunks.length === 0 && this.#held >= this.#needed) return this.#parse(chunk);
    // A copy: the chunk's memory is the socket's.
    this.#chunks.push(Buffer.from(chunk));
    if (this.#held < this.#needed) return;
    const bytes = Buffer.concat(this.#chunks, this.#held);
    this.#chunks = [];
    this.#parse(bytes);
  }

  // --- internal ---

  /** Takes all whole frames and keeps the rest. */
  #parse(bytes: Buffer): void {
    let at = 0;
    for (;;) {
      const taken = this.#takeFrame(bytes, at);
      if (taken === 0) break;
      at += taken;
    }
    this.#held = bytes.length - at;
    if (this.#held > 0) this.#chunks = [Buffer.from(bytes.subarray(at))];
  }

  /** The length of the frame at `at`, which has been handled; 0 when it is not whole, and `#needed` says how long it is. */
  #takeFrame(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    this.#needed = 2;
    if (left < 2) return 0;
    const first = bytes[at] ?? 0;
    const short = (bytes[at + 1] ?? 0) & 127;
    if ((first & 0x70) !== 0) throw new FrameError(1002, "an extension was used that was not agreed on");
    if ((bytes[at + 1] ?? 0) > 127) throw new FrameError(1002, "a server must not mask its frames");
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    this.#needed = head;
    if (left < head) return 0;
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
    if (length + this.#length > this.#limit) throw new FrameError(1009, `a message of over ${this.#limit} bytes`);
    this.#needed = head + length;
    if (left < this.#needed) return 0;
    this.#handle((first & 0x80) !== 0, first & 15, bytes.subarray(at + head, at + head + length));
    return head + length;
  }

  #handle(final: boolean, opcode: number, payload: Buffer): void {
    if (opcode >= 8) return this.#control(final, opcode, payload);
    if (opcode > 2) throw new FrameError(1002, `opcode ${opcode} is reserved`);
    if ((opcode === OPCODE.continuation) !== (this.#opcode !== null))
      throw new FrameError(1002, "a fragment is out of place");
    const kind = this.#opcode ?? (opcode as DataOpcode);
    if (final && this.#opcode === null) return this.#handlers.message(kind, payload);
    this.#opcode = kind;
    this.#fragments.push(Buffer.from(payload));
    this.#length += payload.length;
    if (!final) return;
    const whole = Buffer.concat(this.#fragments, this.#length);
    this.#opcode = null;
    this.#fragments = [];
    this.#length = 0;
    this.#handlers.message(kind, whole);
  }

  #control(final: boolean, opcode: number, payload: Buffer): void {
    if (!final || payload.length > 125) throw new FrameError(1002, "a control frame is fragmented or too long");
    if (opcode === OPCODE.ping) return this.#handlers.ping(payload);
    if (opcode === OPCODE.pong) return this.#handlers.pong();
    if (opcode !== OPCODE.close) throw new FrameError(1002, `opcode ${opcode} is reserved`);
    if (payload.length === 1) throw new FrameError(1002, "a close frame with half a code");
    if (payload.length === 0) return this.#handlers.close(1005, "");
    const code = payload.readUInt16BE(0);
    if (!isSendable(code)) throw new FrameError(1002, `close code ${code} must not be sent`);
    this.#handlers.close(code, payload.toString("utf8", 2));
  }
}

// --- internal ---

/** RFC 6455 §7.4 and the registry: 1004–1006 and 1015 are never sent, 1016–2999 are reserved. */
function isSendable(code: number): boolean {
  return (code >= 3000 && code <= 4999) || (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006));
}

/** Random bytes made in bulk: one system call for a thousand masks. */
const masks = Buffer.allocUnsafe(4096);
let nextMask = masks.length;

/** Writes a fresh mask before `start` and masks what follows. */
function mask(bytes: Buffer, start: number): void {
  if (nextMask === masks.length) {
    crypto.getRandomValues(masks);
    nextMask = 0;
  }
  const from = nextMask;
  nextMask += 4;
  bytes.set(masks.subarray(from, nextMask), start - 4);
  const [a = 0, b = 0, c = 0, d = 0] = masks.subarray(from, nextMask);
  let at = start;
  const end = bytes.length;
  // Up to a word boundary byte by byte, then words: 256 MiB a second became gigabytes.
  const key = [a, b, c, d] as const;
  let turn = 0;
  for (; at < end && ((bytes.byteOffset + at) & 3) !== 0; at++, turn++)
    bytes[at] = (bytes[at] ?? 0) ^ (key[turn & 3] ?? 0);
  const words = (end - at) >> 2;
  if (words > 0) {
    const rotated = Uint8Array.from([0, 1, 2, 3], (n) => key[(turn + n) & 3] ?? 0);
    const word = new Uint32Array(rotated.buffer)[0] ?? 0;
    const view = new Uint32Array(bytes.buffer, bytes.byteOffset + at, words);
    for (let n = 0; n < words; n++) view[n] = (view[n] ?? 0) ^ word;
    at += words * 4;
  }
  for (turn += 0; at < end; at++) bytes[at] = (bytes[at] ?? 0) ^ (key[(at - start) & 3] ?? 0);
}
