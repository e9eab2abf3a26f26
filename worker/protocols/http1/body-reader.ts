/**
 * Follows a body to its end, whatever pieces it comes in (RFC 9112 §6, §7.1). Nothing is gathered: what has been read is
 * passed on at once. Only a line that is cut in two is held, and trailers, which are judged together.
 */
import type { FieldLines } from "./field-lines.ts";
import type { Framing } from "./framing.ts";
import { BadHead, MAX_HEAD, parseFields } from "./head.ts";

/** What is found, in the order of the bytes. */
export interface BodySink {
  /**
   * Bytes of the body, from the place `from` up to `to`: a view of its own would cost more than all else here. Their memory is
   * the socket's. With `chunks` they have their chunk lines, but the last chunk's.
   */
  bytes(bytes: Buffer, from: number, to: number): void;
  /** The body is whole. `trailers` is null where there are none. Not called for a message without a body. */
  end(trailers: FieldLines | null): void;
}

/** RFC 9112 §7.1.1: extensions are of no meaning here; more than this of them is an attack. Bytes. */
const MAX_SIZE_LINE = 4096;
/** RFC 9112 §7.1: a size of as many digits as a number holds exactly. */
const SIZE_LINE = /^([0-9A-Fa-f]{1,13})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const LF = 10;

/** Of a message without a body. */
export function noBody(): BodyReader {
  return NONE;
}

export class BodyReader {
  readonly #sink: BodySink;
  readonly #chunks: boolean;
  #at: "length" | "close" | "size" | "chunk" | "chunk end" | "trailers" | "over";
  /** Bytes of the body, or of the present chunk, that are still to come. */
  #left: number;
  /** A line that has not ended yet. */
  #line = "";
  #trailers: string[] | null = null;
  #trailersLength = 0;

  /** `chunks`: whether a chunked body is passed on in its chunks; else without. */
  constructor(framing: Framing, chunks: boolean, sink: BodySink) {
    this.#sink = sink;
    this.#chunks = chunks;
    this.#left = framing.kind === "length" ? framing.length : 0;
    this.#at = framing.kind === "none" ? "over" : framing.kind === "chunked" ? "size" : framing.kind;
    if (this.#at === "length" && this.#left === 0) this.#at = "over";
  }

  /** The body is whole; of a message without one, from the start. */
  get isOver(): boolean {
    return this.#at === "over";
  }

  /** Takes bytes from a place on; gives the place behind those that are of this message. Throws BadHead for what is no chunked body. */
  read(bytes: Buffer, from = 0): number {
    if (this.#at === "over" || from === bytes.length) return from;
    if (this.#at === "close") this.#sink.bytes(bytes, from, bytes.length);
    if (this.#at === "close") return bytes.length;
    return this.#at === "length" ? this.#counted(bytes, from) : this.#chunked(bytes, from);
  }

  /** The connection has ended. False when the body is not whole. */
  closed(): boolean {
    if (this.#at === "close") this.#finish(null);
    return this.isOver;
  }

  // --- internal ---

  #counted(bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + this.#left);
    this.#left -= to - from;
    this.#sink.bytes(bytes, from, to);
    if (this.#left === 0) this.#finish(null);
    return to;
  }

  #chunked(bytes: Buffer, start: number): number {
    let at = start;
    /** What is passed on next begins here. */
    let from = start;
    while (at < bytes.length && !this.isOver) {
      if (this.#at === "chunk") {
        at = this.#chunk(bytes, at);
        continue;
      }
      const end = bytes.indexOf(LF, at) + 1;
      const isHeld = this.#line !== "";
      if (end === 0) {
        if (this.#at !== "trailers") this.#pass(bytes, from, at);
        this.#hold(bytes.toString("latin1", at));
        return bytes.length;
      }
      this.#hold(bytes.toString("latin1", at, end));
      if (this.#at === "trailers") this.#trailer();
      else {
        const line = this.#take();
        // The last chunk's size and what follows are written anew.
        if (this.#isBehindChunks()) this.#pass(bytes, from, at);
        else if (isHeld) from = this.#passLine(line, end);
      }
      at = end;
    }
    if (this.#at === "chunk" || this.#at === "chunk end" || this.#at === "size") this.#pass(bytes, from, at);
    return at;
  }

  /** Nothing but trailers follows. */
  #isBehindChunks(): boolean {
    return this.#at === "trailers";
  }

  /** Up to the end of the chunk; gives where that is. */
  #chunk(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (!this.#chunks) this.#sink.bytes(bytes, at, end);
    if (this.#left === 0) this.#at = "chunk end";
    return end;
  }

  #pass(bytes: Buffer, from: number, to: number): void {
    if (this.#chunks && from < to) this.#sink.bytes(bytes, from, to);
  }

  /** A line of which a part had come before; gives where what follows it begins. */
  #passLine(line: string, end: number): number {
    if (this.#chunks) this.#sink.bytes(Buffer.from(line, "latin1"), 0, line.length);
    return end;
  }

  #hold(text: string): void {
    this.#line += text;
    if (this.#at !== "trailers") {
      if (this.#line.length > MAX_SIZE_LINE) throw new BadHead("Chunk: a line is too long");
      return;
    }
    this.#trailersLength += text.length;
    if (this.#trailersLength > MAX_HEAD) throw new BadHead("Trailers: wanted at most 64 KiB");
  }

  /** A size, or the end of a chunk; gives the line. */
  #take(): string {
    const line = this.#line;
    this.#line = "";
    if (this.#at === "chunk end") {
      if (line !== "\r\n") throw new BadHead("Chunk: wanted CRLF after as many bytes as its size says");
      this.#at = "size";
      return line;
    }
    const digits = SIZE_LINE.exec(line)?.[1];
    if (digits === undefined) throw new BadHead("Chunk: wanted a size in hexadecimal digits, and CRLF");
    this.#left = Number.parseInt(digits, 16);
    this.#at = this.#left === 0 ? "trailers" : "chunk";
    return line;
  }

  #trailer(): void {
    const line = this.#line;
    this.#line = "";
    if (!line.endsWith("\r\n")) throw new BadHead("Trailer: wanted CRLF at the end of a line");
    if (line !== "\r\n") return void (this.#trailers ??= []).push(line);
    this.#finish(this.#trailers === null ? null : parseFields(this.#trailers.join("")));
  }

  #finish(trailers: FieldLines | null): void {
    this.#at = "over";
    this.#line = "";
    this.#sink.end(trailers);
  }
}

const NONE = new BodyReader({ kind: "none" }, false, { bytes: () => undefined, end: () => undefined });
