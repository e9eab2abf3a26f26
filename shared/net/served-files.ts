/**
 * The files of connections that `Bun.serve` has: it tells nobody when it takes one, and refuses none. So the process's open files
 * are counted now and then, and near their limit those of its connections are ended that have been quiet for longest and over
 * which no request is under way, as the kernel tells; then those that go on saying something which comes to no request. Between
 * two looks a flood may take all files: then nothing new is accepted until the next one.
 */
import type { Log } from "../runtime/log.ts";
import type { Crowding } from "./crowding.ts";
import { endConnection, quietConnections, type Quiet } from "./linux-accepted.ts";
import { openFiles } from "./file-limit.ts";

/** So many files stay free for what the service itself opens. */
const FREE = 64;
/** Of all files, those that are freed besides where none is left: more connections wait then. */
const MORE = 1 / 8;
/** So many files are looked at together, in 12 ms. */
const PART = 4096;
/** How long to the next look: at least, in milliseconds, and times what this one took. */
const CALM = { ms: 100, times: 20 };
const SCARCE = { ms: 10, times: 2 };
/** An answer that has just ended may still be on its way from Bun to the kernel. Milliseconds. */
const QUIET_MS = 100;
const PORTS = 65_536;
/** So long one may take for a whole request while files are scarce: who drips a head is never quiet. Milliseconds. */
const WHOLE_MS = 1000;
/** After so long without scarcity nothing of it counts any more. Milliseconds. */
const FORGET_MS = 5000;
/** After so long without a file it is no passing flood. Milliseconds. */
const TOLD_MS = 2000;

interface Deps {
  /** All files of the process. */
  limit: number;
  crowding: Crowding;
  log: Log;
}

export class ServedFiles {
  readonly #deps: Deps;
  /** Ports that `Bun.serve` listens on, and by how many servers. */
  readonly #listening = new Map<number, number>();
  /** Requests and WebSockets under way, by the port of the other end: two that share one only look busy both. */
  readonly #busy = new Uint16Array(PORTS);
  /** When the last request was over, by the same: performance.now() milliseconds. */
  readonly #servedAt = new Float64Array(PORTS);
  /** When one was first seen while files were scarce, by its file. */
  readonly #seen = new Map<number, { peerPort: number; at: number }>();
  #scarceAt = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** Where the next look for quiet connections begins. */
  #next = 0;
  /** Since when no look has found a file left, or ended a connection: performance.now() milliseconds; null where one has. */
  #exhaustedSince: number | null = null;
  #isTold = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** A server listens on this port. Gives what is called when it does no more. */
  listens(port: number): () => void {
    this.#listening.set(port, (this.#listening.get(port) ?? 0) + 1);
    this.#timer ??= this.#later(CALM.ms);
    return () => {
      const left = (this.#listening.get(port) ?? 1) - 1;
      if (left > 0) this.#listening.set(port, left);
      else this.#listening.delete(port);
      if (this.#listening.size > 0 || this.#timer === null) return;
      clearTimeout(this.#timer);
      this.#timer = null;
    };
  }

  /** A request of a client at this port is under way: `idle` follows. */
  busy(peerPort: number): void {
    this.#busy[peerPort] = (this.#busy[peerPort] ?? 0) + 1;
  }

  idle(peerPort: number): void {
    this.#busy[peerPort] = (this.#busy[peerPort] ?? 1) - 1;
    this.#servedAt[peerPort] = performance.now();
  }

  // --- internal ---

  #later(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      const before = performance.now();
      const { ms, times } = this.#look(before) ? SCARCE : CALM;
      this.#timer = this.#later(Math.max(ms, times * (performance.now() - before)));
    }, ms).unref();
  }

  /** True when files are scarce. */
  #look(now: number): boolean {
    const { limit } = this.#deps;
    const open = openFiles();
    if (open === null) return false;
    const isExhausted = open >= limit;
    const most = limit - FREE;
    const ended = open > most ? this.#end(open - most + (isExhausted ? Math.floor(limit * MORE) : 0)) : 0;
    // While some make way it is a flood that passes, however long a busy machine takes.
    this.#tell(isExhausted && ended === 0, now);
    return open > most;
  }

  #tell(isExhausted: boolean, now: number): void {
    this.#exhaustedSince = isExhausted ? (this.#exhaustedSince ?? now) : null;
    this.#isTold &&= isExhausted;
    if (this.#exhaustedSince === null || this.#isTold || now - this.#exhaustedSince < TOLD_MS) return;
    this.#isTold = true;
    const { limit, log } = this.#deps;
    log.error({ limit }, "no file is left: nothing can be accepted or connected to (EMFILE)");
  }

  /** Gives how many it has ended. */
  #end(count: number): number {
    const { limit, crowding } = this.#deps;
    const start = this.#next;
    const end = Math.min(start + PART, limit);
    this.#next = end < limit ? end : 0;
    const free = quietConnections(new Set(this.#listening.keys()), start, end).filter(({ peerPort }) => this.#busy[peerPort] === 0); // prettier-ignore
    const quiet = free.filter(({ quietMs }) => quietMs >= QUIET_MS).toSorted((one, other) => other.quietMs - one.quietMs); // prettier-ignore
    const ending = [...quiet, ...this.#dripping(free)].slice(0, count);
    for (const { fd } of ending) {
      crowding.closeIdle({ files: limit });
      this.#seen.delete(fd);
      endConnection(fd);
    }
    return ending.length;
  }

  /** Of those that are not quiet, who has had `WHOLE_MS` for a request and has not made one; who waits longest comes first. */
  #dripping(free: readonly Quiet[]): Quiet[] {
    const now = performance.now();
    if (now - this.#scarceAt > FORGET_MS) this.#seen.clear();
    this.#scarceAt = now;
    const since = ({ fd, peerPort }: Quiet) =>
      Math.max(this.#seenSince(fd, peerPort, now), this.#servedAt[peerPort] ?? 0);
    for (const { fd, peerPort } of free)
      if (this.#seen.get(fd)?.peerPort !== peerPort) this.#seen.set(fd, { peerPort, at: now });
    return free
      .filter((one) => one.quietMs < QUIET_MS && now - since(one) >= WHOLE_MS)
      .toSorted((one, other) => since(one) - since(other));
  }

  /** A file may be another connection's by now, and so may a port; both are not. */
  #seenSince(fd: number, peerPort: number, now: number): number {
    const seen = this.#seen.get(fd);
    return seen?.peerPort === peerPort ? seen.at : now;
  }
}
