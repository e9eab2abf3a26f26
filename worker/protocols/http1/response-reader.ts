/**
 * Reads one HTTP/1.1 answer from bytes as they come (RFC 9112 §4, §6): its head, then its body's chunks. Used for
 * WebSocket handshakes, where a refusal is the client's answer. Knows no sockets.
 */

export interface AnswerHead {
  status: number;
  statusText: string;
  headers: Headers;
}

export interface AnswerHandlers {
  /** The head is whole. Gives true to go on with a body, false when the rest is no HTTP any more (101). */
  head(head: AnswerHead): boolean;
  /** A piece of the body; its memory is the socket's. */
  body(bytes: Buffer): void;
  /** The body is whole. */
  end(): void;
}

const MAX_HEAD = 64 * 1024;
const MAX_CHUNK_LINE = 8 * 1024;
const END_OF_HEAD = Buffer.from("\r\n\r\n");

type State =
  | { at: "head" }
  | { at: "length"; left: number }
  | { at: "until close" }
  | { at: "chunk size" }
  | { at: "chunk"; left: number }
  | { at: "chunk end" }
  | { at: "trailer" }
  | { at: "done" };

/** Throws for what is no HTTP answer; nothing can be read after that. */
export class AnswerReader {
  readonly #handlers: AnswerHandlers;
  #state: State = { at: "head" };
  #held: Buffer = Buffer.alloc(0);

  constructor(handlers: AnswerHandlers) {
    this.#handlers = handlers;
  }

  /** Takes bytes; gives what follows the head of an answer that is no HTTP any more. */
  read(bytes: Buffer): Buffer | null {
    let left: Buffer = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = Buffer.alloc(0);
    while (this.#state.at !== "done") {
      const taken = this.#step(left);
      if (taken === null) {
        this.#held = Buffer.from(left);
        return null;
      }
      left = left.subarray(taken);
    }
    return left;
  }

  /** The connection has ended. Throws when the answer was not whole. */
  ended(): void {
    if (this.#state.at === "done") return;
    if (this.#state.at !== "until close") throw new Error("the app broke its answer off");
    this.#finish();
  }

  // --- internal ---

  /** How many bytes were used; null when more are needed. */
  #step(bytes: Buffer): number | null {
    const state = this.#state;
    switch (state.at) {
      case "head":
        return this.#head(bytes);
      case "length":
      case "chunk":
        return this.#counted(bytes, state);
      case "until close":
        if (bytes.length === 0) return null;
        this.#handlers.body(bytes);
        return bytes.length;
      case "chunk size":
        return this.#chunkSize(bytes);
      case "chunk end":
      case "trailer":
        return this.#lineEnd(bytes, state.at);
      case "done":
        return 0;
    }
  }

  #head(bytes: Buffer): number | null {
    const end = bytes.indexOf(END_OF_HEAD);
    if (end > MAX_HEAD || (end === -1 && bytes.length > MAX_HEAD))
      throw new Error("the app's answer head is over 64 KiB");
    if (end === -1) return null;
    const head = parseHead(bytes.toString("latin1", 0, end));
    // RFC 9110 §15.2: an interim answer is followed by another one.
    if (head.status >= 100 && head.status < 200 && head.status !== 101) return end + 4;
    if (this.#handlers.head(head)) this.#state = bodyOf(head);
    else this.#state = { at: "done" };
    if (this.#state.at === "length" && this.#state.left === 0) this.#finish();
    return end + 4;
  }

  #counted(bytes: Buffer, state: { at: "length" | "chunk"; left: number }): number | null {
    if (bytes.length === 0) return null;
    const taken = Math.min(bytes.length, state.left);
    this.#handlers.body(bytes.subarray(0, taken));
    state.left -= taken;
    if (state.left > 0) return taken;
    if (state.at === "chunk") this.#state = { at: "chunk end" };
    else this.#finish();
    return taken;
  }

  #chunkSize(bytes: Buffer): number | null {
    const line = lineOf(bytes);
    if (line === null) return null;
    const size = /^([0-9a-f]{1,12})[ \t]*(;.*)?$/i.exec(line)?.[1];
    if (size === undefined) throw new Error("the app sent a chunk without a size");
    const left = Number.parseInt(size, 16);
    this.#state = left === 0 ? { at: "trailer" } : { at: "chunk", left };
    return line.length + 2;
  }

  #lineEnd(bytes: Buffer, at: "chunk end" | "trailer"): number | null {
    const line = lineOf(bytes);
    if (line === null) return null;
    if (at === "chunk end" && line !== "") throw new Error("the app sent a chunk that is longer than its size");
    if (at === "chunk end") this.#state = { at: "chunk size" };
    else if (line === "") this.#finish();
    return line.length + 2;
  }

  #finish(): void {
    this.#state = { at: "done" };
    this.#handlers.end();
  }
}

// --- internal ---

function lineOf(bytes: Buffer): string | null {
  const end = bytes.indexOf("\r\n");
  if (end > MAX_CHUNK_LINE || (end === -1 && bytes.length > MAX_CHUNK_LINE))
    throw new Error("the app sent a line without an end");
  return end === -1 ? null : bytes.toString("latin1", 0, end);
}

function parseHead(text: string): AnswerHead {
  const [first = "", ...lines] = text.split("\r\n");
  const [, status, statusText = ""] = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(first) ?? [];
  if (status === undefined) throw new Error("the app's answer is no HTTP/1.1");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error("the app's answer has a header line without a name");
    headers.append(line.slice(0, colon), line.slice(colon + 1));
  }
  return { status: Number(status), statusText, headers };
}

/** RFC 9112 §6.3. */
function bodyOf({ status, headers }: AnswerHead): State {
  if (status === 204 || status === 304) return { at: "length", left: 0 };
  const coding = headers.get("transfer-encoding");
  if (coding !== null) {
    if (coding.trim().toLowerCase() !== "chunked")
      throw new Error("the app used a transfer coding that was not asked for");
    return { at: "chunk size" };
  }
  const length = headers.get("content-length");
  if (length === null) return { at: "until close" };
  if (!/^\d{1,15}$/.test(length)) throw new Error("the app's Content-Length is no length");
  return { at: "length", left: Number(length) };
}
