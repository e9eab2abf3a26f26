/**
 * A client's connection: reads one request after the other (RFC 9112 §9.3) and gives each to an exchange. What comes while
 * one is under way waits, up to a limit; then nothing is read until there is room.
 */
import { BadHead, parseRequest } from "../../protocols/http1/head.ts";
import { recentFields } from "../../protocols/http1/recent-heads.ts";
import type { Connections, Place } from "../../net/connections.ts";
import { askSilentPeer } from "../../../shared/net/linux-tcp.ts";
import { vanishedPeers, type Watch, type Watched } from "../../net/vanished.ts";
import type { ConnectionLimits, Core } from "../../seam/engine.ts";
import type { Accepted, Listening, Open } from "./accepted.ts";
import { deadlines, type Limited } from "../../net/deadlines.ts";
import { Exchange } from "./exchange.ts";
import { Outlet, type OutletOwner } from "./outlet.ts";
import { SocketHead, type Arrived } from "./request-head.ts";
import type { ClientEnd } from "./tunnel.ts";

/** A client whose answer is over may still be sending: it is listened to, so that it sees the answer before a reset. Milliseconds. */
const LINGER_MS = 30_000;
/** As long as it goes on sending: one that is silent for this has seen it. Milliseconds. */
const LINGER_SILENCE_MS = 2000;

/** So much that belongs to no request yet is held before nothing is read any more. */
const MAX_HELD = 64 * 1024;
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const [CR, LF] = [13, 10];

/** What connections share: the listener they came in by. */
export interface Entrance<C> extends Listening {
  readonly core: Core<C>;
  readonly connections: Connections;
  readonly via: Omit<Arrived, "peer" | "local">;
  /** How often the certificate was renewed: who came with an older one comes back for the newest. */
  renewals: number;
  /** New requests go to another listener: each answer is the last of its connection. */
  isLeaving: boolean;
}

export class ClientConnection<C> implements Accepted, Limited, Open, OutletOwner, Watched {
  deadline = Infinity;
  out!: Outlet;
  readonly #entrance: Entrance<C>;
  /** At its begin. */
  readonly #renewals: number;
  #socket: Bun.Socket<Accepted> | null = null;
  #place: Place | null = null;
  #watch: Watch | null = null;
  #arrived: Arrived | null = null;
  #exchange: Exchange<C> | null = null;
  /** What has come and is not read yet: a copy of ours. */
  #held: Buffer | null = null;
  /** So much of it has no end of a head. */
  #searched = 0;
  /** A pipelined request is read in a turn of its own. */
  #isPending = false;
  /** The app, or whoever reads, takes no more. */
  #isPaused = false;
  #isReading = true;
  /** FIN has come. */
  #hasEnded = false;
  /** The last answer is over, and the client has not taken all of it yet. */
  #isBehind = false;
  /** When its present phase has to be over, and something of what is there taken: performance.now() milliseconds. */
  #phaseEnds = Infinity;
  #takenBy = Infinity;
  /** Until when it is listened to at most, performance.now() milliseconds; null before the end. */
  #lingersUntil: number | null = null;
  #isOver = false;

  constructor(entrance: Entrance<C>) {
    this.#entrance = entrance;
    this.#renewals = entrance.renewals;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get limits(): ConnectionLimits {
    return this.#entrance.limits;
  }

  get connections(): Connections {
    return this.#entrance.connections;
  }

  /** No request can follow the present one, or none is to. */
  get isLast(): boolean {
    return this.#isEnding || this.#entrance.renewals !== this.#renewals || this.#place?.full !== null;
  }

  get #isEnding(): boolean {
    return this.#entrance.isLeaving || (this.#hasEnded && this.#held === null);
  }

  // --- the socket's side ---

  /** `peer`: whose connection it is. */
  opened(socket: Bun.Socket<Accepted>, peer: string, place: Place): void {
    this.#socket = socket;
    this.#place = place;
    place.end = () => this.abandon();
    this.out = new Outlet(socket, this);
    this.#arrived = { ...this.#entrance.via, peer, local: socket.localAddress ?? "" };
    socket.setNoDelay(true);
    // A client whose machine is gone is noticed, also while its answer is silent.
    askSilentPeer(socket);
    this.#watch = vanishedPeers.watch(socket, this);
    this.#entrance.open.add(this);
    this.limit(this.limits.idleMs);
    deadlines.add(this);
  }

  said(bytes: Buffer): void {
    if (this.#isOver) return;
    if (this.#lingersUntil !== null) return this.#lingerOn(this.#lingersUntil);
    if (this.#exchange === null && !this.#isBehind && !this.#isPending)
      return this.#held === null
        ? this.#readHeads(bytes, false)
        : this.#readHeads(Buffer.concat([this.#held, bytes]), true);
    const used = this.#held === null ? (this.#exchange?.clientSaid(bytes) ?? 0) : 0;
    if (used === bytes.length || this.#isOver || this.#lingersUntil !== null) return;
    this.#hold(this.#held === null ? Buffer.from(bytes.subarray(used)) : Buffer.concat([this.#held, bytes]));
  }

  drained(): void {
    if (!this.out.drain()) return this.outIsFull();
    this.#takenBy = Infinity;
    this.#arm();
    if (this.#exchange !== null) return this.#exchange.clientHasRoom();
    // Its time begins when it has all.
    if (this.#lingersUntil !== null) this.#lingerFromNow();
    else if (this.#isBehind) this.#nextRequest();
  }

  ended(): void {
    this.#hasEnded = true;
    if (this.#exchange !== null) this.#exchange.clientEnded();
    else if (!this.#isBehind && !this.#isPending) this.close();
  }

  gone(): void {
    if (this.#isOver) return;
    this.#forget();
    this.#exchange?.clientGone();
    this.#exchange = null;
  }

  /** Something is there for the client; each time that some of it is taken, it has its time again. */
  outIsFull(): void {
    this.#takenBy = performance.now() + this.limits.readerMs;
    this.#arm();
  }

  /** Whoever has just written is not done yet. */
  outIsBroken(): void {
    queueMicrotask(() => this.terminate());
  }

  vanished(): void {
    this.terminate();
  }

  late(): void {
    if (this.#takenBy <= performance.now()) return this.terminate();
    if (this.#exchange !== null) return this.#exchange.late();
    if (this.#lingersUntil !== null) return this.abandon();
    if (this.#held === null) return this.close();
    this.refuse(408, "Request Timeout");
  }

  // --- the exchange's side ---

  /** The present phase may take so many milliseconds from now; null for as long as it likes. */
  limit(ms: number | null): void {
    this.#phaseEnds = ms === null ? Infinity : performance.now() + ms;
    this.#arm();
  }

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
    if (!this.#isOver && this.#lingersUntil === null) this.#hold(used < waits.length ? waits.subarray(used) : null);
  }

  /** After a 101: another one has the socket from now on. Gives it, and what has come and was not read. */
  handOver(): ClientEnd & { waits: Buffer | null } {
    const [socket, place, waits] = [this.#socket, this.#place, this.#held];
    if (socket === null || place === null) throw new Error("the connection is not open");
    this.#exchange = null;
    this.#held = null;
    this.#leaveLists();
    if (!this.#isReading) socket.resume();
    return { entrance: this.#entrance, socket, place, out: this.out, waits };
  }

  /** The answer is whole. `goesOn`: another request may come over this connection. */
  answered(goesOn: boolean): void {
    this.#exchange = null;
    if (this.#isOver) return;
    this.#isPaused = false;
    // Who was not told that it was the last one may go on.
    if (!goesOn || this.#isEnding) return this.close();
    // Who does not read gets no further answer: they would be held here.
    this.#isBehind = !this.out.isEmpty;
    if (this.#isBehind) this.#updateFlow();
    else this.#nextRequest();
  }

  /** What can't be read as a request, or does not come, has no circuit and no page. */
  refuse(status: number, reason: string): void {
    this.out.writeHead(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, null);
    this.close();
  }

  /** FIN behind what is held: the client has all that there is, and sees whether it is whole. */
  close(): void {
    if (this.#isOver || this.#lingersUntil !== null) return;
    this.#exchange = null;
    this.#isPaused = false;
    this.#isBehind = false;
    this.#lingersUntil = Infinity;
    this.limit(null);
    this.#hold(null);
    this.out.end();
    if (this.out.isEmpty) this.#lingerFromNow();
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

  /** Nothing is read any more; what the system holds for the client it goes on sending, at the client's pace. */
  abandon(): void {
    if (this.#isOver) return;
    this.#forget();
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.clientGone();
    this.#socket?.close();
  }

  /** The listener closes: what is idle goes now, what is under way after its answer. */
  leave(): void {
    if (this.#exchange === null && this.#held === null) this.close();
  }

  // --- internal ---

  #nextRequest(): void {
    this.#isBehind = false;
    this.limit(this.limits.idleMs);
    this.#updateFlow();
    if (this.#held === null) return this.#hasEnded ? this.close() : this.#place?.idle();
    // In a turn of its own, so that a thousand of them neither nest nor keep the others waiting.
    this.#isPending = true;
    setImmediate(() => {
      this.#isPending = false;
      if (this.#isOver || this.#lingersUntil !== null || this.#held === null) return;
      this.#readHeads(this.#held, true);
      // What the core answers by itself is over by now, and the next request waits for its turn.
      if (this.#hasEnded && this.#exchange === null && !this.#isPending && !this.#isBehind) this.close();
    });
  }

  /** `isOwned`: the bytes are a copy already. */
  #readHeads(input: Buffer, isOwned: boolean): void {
    const start = behindEmptyLines(input);
    const end = input.indexOf(END_OF_HEAD, Math.max(start, this.#searched - 3));
    if (end === -1 ? input.length - start >= this.limits.head : end + 4 - start > this.limits.head)
      return this.refuse(431, "Request Header Fields Too Large");
    if (end === -1) return this.#waitForHead(input.subarray(start), isOwned);
    this.limit(null);
    let exchange: Exchange<C>;
    try {
      const parsed = parseRequest(input.toString("latin1", start, end + 2), recentFields);
      exchange = new Exchange(this, new SocketHead(parsed, this.#arrived as Arrived), this.#entrance.core);
    } catch (error) {
      if (!(error instanceof BadHead)) throw error;
      return this.refuse(error.status, error.status === 505 ? "HTTP Version Not Supported" : "Bad Request");
    }
    this.#exchange = exchange;
    if (end + 4 < input.length) {
      const rest = input.subarray(end + 4);
      this.#hold(isOwned ? rest : Buffer.from(rest));
    } else if (this.#held !== null) this.#hold(null);
    this.#start(exchange);
  }

  #start(exchange: Exchange<C>): void {
    this.#place?.busy();
    exchange.start(this.#place?.full ?? null);
    if (this.#hasEnded && this.#exchange === exchange) exchange.clientEnded();
  }

  #waitForHead(input: Buffer, isOwned: boolean): void {
    // A line that ends with LF alone would wait for an end that never comes.
    const line = input.indexOf(LF);
    if (line === 0 || (line > 0 && input[line - 1] !== CR)) return this.refuse(400, "Bad Request");
    if (this.#searched === 0 && input.length > 0) this.limit(this.limits.headMs);
    this.#hold(input.length === 0 ? null : isOwned ? input : Buffer.from(input));
    this.#searched = input.length;
    // Empty lines, and a part of a head, are no request: it makes way like any that is idle.
    this.#place?.idle();
  }

  #hold(bytes: Buffer | null): void {
    this.#held = bytes;
    this.#searched = 0;
    this.#updateFlow();
  }

  #updateFlow(): void {
    if (this.#isOver) return;
    const isFull = this.#held !== null && this.#held.length > Math.max(MAX_HELD, this.limits.head);
    const reads = !isFull && !this.#isPaused && !this.#isBehind;
    if (reads === this.#isReading) return;
    this.#isReading = reads;
    if (reads) this.#socket?.resume();
    else this.#socket?.pause();
  }

  #lingerFromNow(): void {
    this.#place?.idle();
    const until = performance.now() + LINGER_MS;
    this.#lingersUntil = until;
    this.#lingerOn(until);
  }

  #lingerOn(until: number): void {
    if (until !== Infinity) this.limit(Math.min(until - performance.now(), LINGER_SILENCE_MS));
  }

  #arm(): void {
    this.deadline = Math.min(this.#phaseEnds, this.#takenBy);
  }

  #forget(): void {
    this.#leaveLists();
    this.#place?.leave();
    this.#entrance.gone();
  }

  #leaveLists(): void {
    this.#isOver = true;
    deadlines.delete(this);
    this.#watch?.end();
    this.#entrance.open.delete(this);
  }
}

// --- internal ---

/** RFC 9112 §2.2: empty lines before a request are passed over. */
function behindEmptyLines(input: Buffer): number {
  let at = 0;
  while (input[at] === CR && input[at + 1] === LF) at += 2;
  return at;
}
