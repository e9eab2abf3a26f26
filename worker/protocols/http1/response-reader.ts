/**
 * Reads one HTTP/1.1 answer from bytes as they come (RFC 9112 §4, §6): its head, then its body. Used for WebSocket
 * handshakes, where a refusal is the client's answer. Knows no sockets.
 */
import { BodyReader } from "./body-reader.ts";
import { answerFraming } from "./framing.ts";
import { MAX_HEAD, parseAnswer, type AnswerHead as ParsedHead } from "./head.ts";

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

const END_OF_HEAD = Buffer.from("\r\n\r\n");

/** Throws for what is no HTTP answer; nothing can be read after that. */
export class AnswerReader {
  readonly #handlers: AnswerHandlers;
  #held: Buffer | null = null;
  #body: BodyReader | null = null;
  #isOver = false;

  constructor(handlers: AnswerHandlers) {
    this.#handlers = handlers;
  }

  /** Takes bytes; gives what follows the answer, or the head of one that is no HTTP any more, and null before that. */
  read(bytes: Buffer): Buffer | null {
    const left = this.#body === null && !this.#isOver ? this.#readHead(bytes) : bytes;
    if (left === null || this.#isOver || this.#body === null) return left;
    const used = this.#body.read(left);
    return this.#body.isOver ? left.subarray(used) : null;
  }

  /** The connection has ended. Throws when the answer was not whole. */
  ended(): void {
    if (!this.#isOver && this.#body?.closed() !== true) throw new Error("the app broke its answer off");
  }

  // --- internal ---

  /** Gives what follows the head; null when more is needed. */
  #readHead(bytes: Buffer): Buffer | null {
    let left = this.#held === null ? bytes : Buffer.concat([this.#held, bytes]);
    for (;;) {
      const end = left.indexOf(END_OF_HEAD);
      if (end > MAX_HEAD || (end === -1 && left.length > MAX_HEAD))
        throw new Error("the app's answer head is over 64 KiB");
      this.#held = end === -1 ? Buffer.from(left) : null;
      if (end === -1) return null;
      const head = parseAnswer(left.toString("latin1", 0, end + 2));
      left = left.subarray(end + END_OF_HEAD.length);
      // RFC 9110 §15.2: an interim answer is followed by another one.
      if (head.status >= 200 || head.status === 101) return this.#begin(head, left);
    }
  }

  #begin(head: ParsedHead, left: Buffer): Buffer {
    const { status, reason, lines } = head;
    const headers = new Headers(lines.pairs());
    if (!this.#handlers.head({ status, statusText: reason, headers })) {
      this.#isOver = true;
      return left;
    }
    this.#body = new BodyReader(answerFraming(head, "GET"), false, {
      bytes: (bytes, from, to) => this.#handlers.body(bytes.subarray(from, to)),
      end: () => this.#handlers.end(),
    });
    if (this.#body.isOver) this.#handlers.end();
    return left;
  }
}
