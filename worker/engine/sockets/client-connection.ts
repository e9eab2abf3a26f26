/**
 * A client's connection: reads one request after the other (RFC 9112 §9.3) and gives each to an exchange. What comes while
 * one is under way waits, up to a limit; then nothing is read until there is room.
 */
import { BadHead, MAX_HEAD, parseRequest } from "../../protocols/http1/head.ts";
import { requestFraming } from "../../protocols/http1/framing.ts";
import type { Core } from "../../seam/engine.ts";
import { deadlines, type Limited } from "./deadlines.ts";
import { Exchange } from "./exchange.ts";
import type { Accepted } from "./greeting.ts";
import { Outlet } from "./outlet.ts";
import { SocketHead, type Arrived } from "./request-head.ts";

/** Milliseconds. */
const LIMITS = {
  /** From a head's first byte to its last. */
  head: 10_000,
  /** Without a request. */
  idle: 75_000,
  /** A client whose answer is over may still be sending: so long it is listened to, so that it sees the answer. */
  linger: 2000,
} as const;

const KEEPALIVE_MS = 30_000;

/** So much that belongs to no request yet is held before nothing is read any more. */
const MAX_HELD = 64 * 1024;
const END_OF_HEAD = Buffer.from("\r\n\r\n");

/** What connections share: the listener they came in by. */
export interface Entrance<C> {
  readonly core: Core<C>;
  readonly via: Omit<Arrived, "peer" | "local">;
  readonly open: Set<ClientConnection<C>>;
  /** New requests go to another listener: each answer is the last of its connection. */
  isLeaving: boolean;
  /** A connection is gone. */
  gone(): void;
}

export class ClientConnection<C> implements Accepted, Limited {
  deadline = Infinity;
  out!: Outlet;
  readonly #entrance: Entrance<C>;
  #socket: Bun.Socket<Accepted> | null = null;
  #arrived: Arrived | null = null;
  #exchange: Exchange<C> | null = null;
  #held: Buffer | null = null;
  /** Why nothing is read: too much waits, or the app takes no more. */
  #isFull = false;
  #isPaused = false;
  #isLingering = false;
  /** The last answer is over, and the client has not taken all of it yet. */
  #isBehind = false;
  #isOver = false;

  constructor(entrance: Entrance<C>) {
    this.#entrance = entrance;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isLeaving(): boolean {
    return this.#entrance.isLeaving;
  }

  // --- the socket's side ---

  opened(socket: Bun.Socket<Accepted>): void {
    this.#socket = socket;
    this.out = new Outlet(socket);
    this.#arrived = { ...this.#entrance.via, peer: socket.remoteAddress, local: socket.localAddress ?? "" };
    socket.setNoDelay(true);
    // A client whose machine is gone is noticed by the system, also while its answer is silent.
    socket.setKeepAlive(true, KEEPALIVE_MS);
    this.#entrance.open.add(this);
    this.deadline = performance.now() + LIMITS.idle;
    deadlines.add(this);
  }

  said(bytes: Buffer): void {
    if (this.#isLingering || this.#isOver) return;
    if (this.#exchange === null) return this.#isBehind ? this.#hold(joined(this.#held, bytes)) : this.#readHeads(bytes);
    const waits = this.#held;
    const used = waits === null ? this.#exchange.clientSaid(bytes) : 0;
    if (used < bytes.length) this.#hold(waits === null ? bytes.subarray(used) : joined(waits, bytes));
  }

  drained(): void {
    if (!this.out.drain()) return;
    if (this.#exchange !== null) return this.#exchange.clientHasRoom();
    // Its time begins when it has all.
    if (this.#isLingering) this.deadline = performance.now() + LIMITS.linger;
    else if (this.#isBehind) this.#nextRequest();
  }

  ended(): void {
    if (this.#exchange !== null) this.#exchange.clientEnded();
    else this.close();
  }

  gone(): void {
    if (this.#isOver) return;
    this.#forget();
    this.#exchange?.clientGone();
    this.#exchange = null;
  }

  late(): void {
    if (this.#exchange !== null) return this.#exchange.late();
    if (this.#held === null || this.#isLingering) return this.terminate();
    this.#refuse(408, "Request Timeout");
  }

  // --- the exchange's side ---

  pause(): void {
    this.#isPaused = true;
    this.#updateFlow();
  }

  resume(): void {
    this.#isPaused = false;
    this.#updateFlow();
  }

  /** The exchange takes bytes now: it gets those that have waited. */
  feed(): void {
    const waits = this.#held;
    if (waits === null || this.#exchange === null) return;
    const used = this.#exchange.clientSaid(waits);
    this.#held = null;
    this.#isFull = false;
    if (used < waits.length) this.#hold(waits.subarray(used));
    this.#updateFlow();
  }

  /** The answer is whole. `goesOn`: another request may come over this connection. */
  answered(goesOn: boolean): void {
    this.#exchange = null;
    if (this.#isOver) return;
    this.#isPaused = false;
    if (!goesOn || this.#entrance.isLeaving) return this.#linger();
    // Who does not read gets no further answer: they would be held here.
    this.#isBehind = !this.out.isEmpty;
    if (this.#isBehind) this.#updateFlow();
    else this.#nextRequest();
  }

  /** FIN behind what is held: the client has all that there is, and sees whether it is whole. */
  close(): void {
    if (this.#isOver) return;
    this.#linger();
  }

  /** RST. */
  terminate(): void {
    if (this.#isOver) return;
    this.#forget();
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.clientGone();
    this.#socket?.terminate();
  }

  /** The listener closes: what is idle goes now, what is under way after its answer. */
  leave(): void {
    if (this.#exchange === null && this.#held === null) this.close();
  }

  // --- internal ---

  #nextRequest(): void {
    this.#isBehind = false;
    this.deadline = performance.now() + LIMITS.idle;
    const waits = this.#held;
    this.#held = null;
    this.#isFull = false;
    this.#updateFlow();
    // A pipelined request; in a turn of its own, so that a thousand of them neither nest nor keep the others waiting.
    if (waits !== null) setImmediate(() => this.said(waits));
  }

  #readHeads(bytes: Buffer): void {
    const input = joined(this.#held, bytes);
    const start = behindEmptyLines(input);
    const end = input.indexOf(END_OF_HEAD, start);
    if (end === -1 ? input.length - start >= MAX_HEAD : end + 4 - start > MAX_HEAD)
      return this.#refuse(431, "Request Header Fields Too Large");
    if (end === -1) return this.#waitForHead(input.subarray(start));
    this.#held = null;
    this.deadline = Infinity;
    try {
      const parsed = parseRequest(input.toString("latin1", start, end + 2));
      const framing = requestFraming(parsed);
      const head = new SocketHead(parsed, this.#arrived as Arrived);
      this.#exchange = new Exchange(this, head, framing, this.#entrance.core);
    } catch (error) {
      if (!(error instanceof BadHead)) throw error;
      return this.#refuse(error.status, error.status === 505 ? "HTTP Version Not Supported" : "Bad Request");
    }
    if (end + 4 < input.length) this.#held = Buffer.from(input.subarray(end + 4));
    this.#exchange.start();
  }

  #waitForHead(input: Buffer): void {
    // A line that ends with LF alone would wait for an end that never comes.
    const line = input.indexOf(10);
    if (line === 0 || (line > 0 && input[line - 1] !== 13)) return this.#refuse(400, "Bad Request");
    if (this.#held === null && input.length > 0) this.deadline = performance.now() + LIMITS.head;
    this.#held = input.length === 0 ? null : Buffer.from(input);
  }

  #hold(bytes: Buffer): void {
    this.#held = Buffer.from(bytes);
    this.#isFull = this.#held.length > MAX_HELD;
    this.#updateFlow();
  }

  #updateFlow(): void {
    if (this.#isOver) return;
    if (this.#isFull || this.#isPaused || this.#isBehind) this.#socket?.pause();
    else this.#socket?.resume();
  }

  /** What can't be read as a request has no circuit and no page. */
  #refuse(status: number, reason: string): void {
    this.out.writeHead(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, null);
    this.#linger();
  }

  #linger(): void {
    this.#held = null;
    this.#exchange = null;
    this.#isLingering = true;
    this.out.end();
    this.#isFull = false;
    this.#isPaused = false;
    this.#updateFlow();
    this.#isBehind = false;
    this.deadline = this.out.isEmpty ? performance.now() + LIMITS.linger : Infinity;
  }

  #forget(): void {
    this.#isOver = true;
    deadlines.delete(this);
    this.#entrance.open.delete(this);
    this.#entrance.gone();
  }
}

// --- internal ---

function joined(held: Buffer | null, bytes: Buffer): Buffer {
  return held === null ? bytes : Buffer.concat([held, bytes]);
}

/** RFC 9112 §2.2: empty lines before a request are passed over. */
function behindEmptyLines(input: Buffer): number {
  let at = 0;
  while (input[at] === 13 && input[at + 1] === 10) at += 2;
  return at;
}
