/**
 * The begins of a listener's connections. One of a proxy in front has no owner until its PROXY header has come, in pieces of
 * any size; then the owner learns whose connection it is and gets every byte behind the header. Without a whole header in
 * time it is reset. Anybody else's connection has its owner at once. Made by the listeners of raw sockets.
 */
import type { ProxyHeaders } from "../../seam/engine.ts";
import { readProxyHeader } from "./header.ts";

/** What is used of a socket, whose owner is in `data`. */
interface Opened<T> {
  data: T | Opening;
  readonly remoteAddress: string;
  terminate(): void;
}

export class Openings {
  readonly #headers: ProxyHeaders | null;
  readonly #waiting = new Set<Opening>();

  constructor(headers: ProxyHeaders | null) {
    this.#headers = headers;
  }

  /** A connection has come in. Either `begin` is called, now or later, which gives the socket its owner; or `lost`. */
  add<T extends { said(bytes: Buffer): void }>(
    socket: Opened<T>,
    begin: (peer: string) => void,
    lost: () => void,
  ): void {
    // Bun has none for a client that has left by now.
    const peer = socket.remoteAddress ?? "";
    const headers = this.#headers;
    if (headers?.from(peer) !== true) return begin(peer);
    const opening: Opening = new Opening(socket, {
      over: () => void this.#waiting.delete(opening),
      lost,
      refused: (reason) => headers.refused(peer, reason),
      read(source, rest) {
        begin(source ?? peer);
        if (rest.length > 0) socket.data.said(rest);
      },
    });
    this.#waiting.add(opening);
    socket.data = opening;
  }

  /** The listener closes: those without an owner end. */
  reset(): void {
    for (const opening of this.#waiting) opening.reset();
  }
}

// --- internal ---

/** PROXY protocol §2: a few seconds, and at least three, so that a lost segment can come again. Milliseconds. */
const HEADER_MS = 3000;

interface OpeningEvents {
  /** The header has come. `source`: the client's address, or null; `rest`: the bytes behind it. Nothing follows. */
  read(source: string | null, rest: Buffer): void;
  /** It ended before. */
  lost(): void;
  /** It was reset. */
  refused(reason: string): void;
  /** Comes first, once. */
  over(): void;
}

/** Has the socket until the header has come. */
class Opening {
  readonly #socket: { terminate(): void };
  readonly #events: OpeningEvents;
  readonly #timer: ReturnType<typeof setTimeout>;
  /** The part of a header that has come: a copy of ours, shorter than the longest header. */
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(socket: { terminate(): void }, events: OpeningEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#timer = setTimeout(() => this.#refuse(`none has come within ${HEADER_MS / 1000} seconds`), HEADER_MS);
    this.#timer.unref();
  }

  said(bytes: Buffer): void {
    if (this.#isOver) return;
    const input = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const reading = readProxyHeader(input);
    switch (reading.kind) {
      case "incomplete":
        this.#held = Buffer.from(input);
        return;
      case "fault":
        return this.#refuse(reading.reason);
      case "header":
        this.#finish();
        this.#events.read(reading.source, input.subarray(reading.length));
    }
  }

  drained(): void {}

  /** A load balancer that looks whether the port is open, and leaves without a word, is no fault. */
  ended(): void {
    if (this.#held.length === 0) this.reset();
    else this.#refuse("the connection has ended within it");
  }

  gone(): void {
    if (this.#finish()) this.#events.lost();
  }

  /** RST. */
  reset(): void {
    if (!this.#finish()) return;
    this.#socket.terminate();
    this.#events.lost();
  }

  // --- internal ---

  #refuse(reason: string): void {
    if (this.#isOver) return;
    this.reset();
    this.#events.refused(reason);
  }

  /** True the first time. */
  #finish(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#events.over();
    return true;
  }
}
