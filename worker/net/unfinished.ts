/**
 * The memory of WebSocket messages that are not whole yet, of all together. `Bun.serve` joins a client's fragments and tells of
 * a message when it is whole, at most 256 MiB later: six clients that never end theirs held 1.3 GB. Bun does not say what it holds,
 * so it is reckoned: what the kernel says was read of a connection, less what Bun has told of. Where that can't be known (not
 * Linux with glibc) only what apps send counts, which we join ourselves. When all hold too much, the circuit that holds most
 * loses its largest. Between two looks more may come: the limit is passed by what a tenth of a second brings.
 */
import type { Log } from "../../shared/runtime/log.ts";
import { tellSparingly } from "../../shared/runtime/sparingly.ts";
import { acceptedAt, bytesRead, connectionKey } from "../../shared/net/linux-accepted.ts";

/** One WebSocket, whose messages of both sides are joined. */
export interface Joining {
  /** Of those with the same one together. */
  readonly circuit: unknown;
  /** Where the client's connection came to, and from where. */
  readonly port: number;
  readonly peer: string;
  readonly peerPort: number;
  /** Bytes of the app's message that is not whole yet. */
  ofApp(): number;
  /** It is to be closed: all together hold too much. Must not throw. */
  shed(): void;
}

interface Settings {
  /** Most bytes of all together. */
  limit: number;
  log: Log;
}

/** Between two looks at the process's memory, in milliseconds; a look itself takes a tenth of one. */
const LOOK_MS = 50;
/** Each is reckoned when the memory has grown by so much. Bytes. */
const GROWTH = 32 * 1024 * 1024;
/** And so often at least, so that what can't be told from a message (heads of fragments, TLS) does not add up. Milliseconds. */
const AT_LEAST_MS = 10_000;
/** Of the limit: when apps have sent so much. */
const PART = 1 / 8;
/** Reckoning takes a twentieth of the time at most. */
const TIMES = 20;

export class UnfinishedMessages {
  /** WebSockets that were closed because all together held too much. */
  closed = 0;
  readonly #settings: Settings;
  readonly #all = new Set<Unfinished>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** The process's memory when they were last reckoned, or less since. */
  #memory = 0;
  #reckonedAt = 0;
  #isOver = false;
  /** Since they were last reckoned apps have sent so much that is not whole. */
  #grown = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** A WebSocket has opened; `remove` follows. */
  add(joining: Joining): Unfinished {
    const one = new Unfinished(joining);
    this.#all.add(one);
    if (this.#timer === null) {
      this.#memory = process.memoryUsage.rss();
      this.#reckonedAt = performance.now();
      this.#later(LOOK_MS);
    }
    return one;
  }

  remove(one: Unfinished): void {
    this.#all.delete(one);
  }

  /** The app has sent a part of a message. What apps send is known at once, and comes as fast as it can be read. */
  grew(one: Unfinished): void {
    this.#grown += one.growth();
    if (this.#grown < this.#settings.limit * PART) return;
    this.#grown = 0;
    let ofApps = 0;
    for (const { joining } of this.#all) ofApps += joining.ofApp();
    if (ofApps > this.#settings.limit) this.#shed();
  }

  // --- internal ---

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const before = performance.now();
      this.#look(before);
      if (this.#all.size > 0) this.#later(Math.max(LOOK_MS, TIMES * (performance.now() - before)));
    }, ms).unref();
  }

  #look(now: number): void {
    const memory = process.memoryUsage.rss();
    this.#memory = Math.min(this.#memory, memory);
    if (!this.#isOver && memory - this.#memory < GROWTH && now - this.#reckonedAt < AT_LEAST_MS) return;
    this.#memory = memory;
    this.#reckon(now);
    const wasOver = this.#isOver;
    this.#isOver = this.#held() > this.#settings.limit;
    // Looked at twice: who has ended a message meanwhile holds no more than has come since.
    if (this.#isOver && wasOver) this.#shed();
  }

  #reckon(now: number): void {
    this.#reckonedAt = now;
    this.#grown = 0;
    this.#find();
    for (const one of this.#all) one.reckon();
  }

  #held(): number {
    let held = 0;
    for (const one of this.#all) held += one.held;
    return held;
  }

  /** The descriptors of those that are new. */
  #find(): void {
    const fresh = [...this.#all].filter(({ fd }) => fd === null);
    if (fresh.length === 0) return;
    const found = acceptedAt(new Set(fresh.map(({ joining }) => joining.port)));
    if (found === null) return;
    for (const one of fresh) one.fd = found.get(one.key) ?? NOT_FOUND;
  }

  #shed(): void {
    const { limit, log } = this.#settings;
    const held = this.#held();
    for (let left = held; left > limit;) {
      const one = this.#largest();
      if (one === null) return;
      left -= one.held;
      this.#all.delete(one);
      this.closed++;
      const { peer, port } = one.joining;
      const line = { peer, port, bytes: one.held, together: held, limit };
      tellSparingly(log, { level: "warn", kind: String(port), line, msg: "WebSocket closed: unfinished messages hold too much" }); // prettier-ignore
      one.joining.shed();
    }
  }

  /** Of the circuit that holds most. */
  #largest(): Unfinished | null {
    const byCircuit = new Map<unknown, { held: number; largest: Unfinished }>();
    for (const one of this.#all) {
      const { circuit } = one.joining;
      const { held, largest } = byCircuit.get(circuit) ?? { held: 0, largest: one };
      byCircuit.set(circuit, { held: held + one.held, largest: one.held > largest.held ? one : largest });
    }
    const [most] = [...byCircuit.values()].toSorted((one, other) => other.held - one.held);
    return most?.largest ?? null;
  }
}

const NOT_FOUND = -1;
/** A client's frame has so much before its payload at least (RFC 6455 §5.2). */
const LEAST_HEAD = 6;
/** After a message of so many bytes it is reckoned at once: what could not be told of one that is large adds up. */
const LARGE = 256 * 1024;
/** What is read at once at most: so much of the next message may be there when one is told of. */
const READ = 512 * 1024;

/** What is known of one WebSocket's messages. */
export class Unfinished {
  readonly joining: Joining;
  readonly key: string;
  /** The client's connection; null before it was looked for. */
  fd: number | null = null;
  /** Of the client's message that is not whole yet. */
  #bytes = 0;
  #read = 0;
  /** Since the last look: what Bun has told of, and whether a message was whole. */
  #told = 0;
  #hadWhole = false;
  /** Of the app's, when it was last asked. */
  #ofApp = 0;

  constructor(joining: Joining) {
    this.joining = joining;
    this.key = connectionKey(joining.port, joining.peer, joining.peerPort);
  }

  /** Bytes, of both sides. */
  get held(): number {
    return this.#bytes + this.joining.ofApp();
  }

  /** How much more of the app's message there is than when this was last asked. */
  growth(): number {
    const before = this.#ofApp;
    this.#ofApp = this.joining.ofApp();
    return Math.max(0, this.#ofApp - before);
  }

  /** A message of the client's is whole; text may have been more bytes. */
  whole(bytes: number): void {
    this.#told += bytes + LEAST_HEAD;
    this.#hadWhole = true;
    if (bytes >= LARGE) this.reckon(true);
  }

  /** A ping or pong of the client's, which may stand between two fragments. */
  control(bytes: number): void {
    this.#told += bytes + LEAST_HEAD;
  }

  /** What HTTP brought before over the same connection counts too, until a message is whole: browsers make a fresh one. */
  reckon(isWhole = false): void {
    const read = this.fd === null ? null : bytesRead(this.fd, this.joining.peerPort);
    if (read !== null) this.count(read, isWhole);
  }

  /** So many bytes were read of its connection. `isWhole`: a message has ended just now. */
  count(read: number, isWhole = false): void {
    const came = read - this.#read;
    const left = Math.max(0, this.#bytes + came - this.#told);
    // What had come before the last look is over with a message that was whole since.
    const most = isWhole ? READ : this.#hadWhole ? came : Infinity;
    this.#bytes = Math.min(left, most);
    this.#read = read;
    this.#told = 0;
    this.#hadWhole = false;
  }
}
