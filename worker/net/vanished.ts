/**
 * Peers that have vanished while bytes to them are under way: nothing of it was acknowledged for a minute. Keep-alive probes
 * do not tell it: there are none while something is under way, and the system itself gives up after a quarter of an hour.
 * Its own limit (TCP_USER_TIMEOUT) also ends those who live and have no room, such as an app that computes: seen on Linux
 * 6.18. A peer that lives acknowledges, whatever it does.
 */
import { tcpInfo, type TcpInfo } from "../../shared/net/linux-tcp.ts";

/** So long nothing was acknowledged. Milliseconds. */
export const VANISHED_MS = 60_000;
/** Each connection is looked at so often. Milliseconds. */
const LOOK_MS = 10_000;
/** A part of them at a time: a look takes a microsecond. */
const PARTS = 10;

/** Since when something is under way and nothing was acknowledged; null for never. `before`: at the last look. Milliseconds. */
export function stuckSince(
  before: number | null,
  now: number,
  info: Pick<TcpInfo, "unacknowledged" | "sinceAcknowledged">,
): number | null {
  // What is sent after a silence was under way since the first look at it at the earliest that is known.
  return info.unacknowledged === 0 ? null : Math.max(before ?? now, now - info.sinceAcknowledged);
}

/** Who has a connection that is looked at. */
export interface Watched {
  /** Told once, when its peer has vanished. */
  vanished(): void;
}

/** One connection that is looked at. One object, and no closures: there are two for each WebSocket. */
export class Watch {
  readonly socket: object;
  readonly owner: Watched;
  /** Since when it is stuck. */
  since: number | null = null;
  readonly #among: Set<Watch>;

  constructor(socket: object, owner: Watched, among: Set<Watch>) {
    this.socket = socket;
    this.owner = owner;
    this.#among = among;
    among.add(this);
  }

  /** Has to be called when the connection is gone: its descriptor is another one's later. */
  end(): void {
    this.#among.delete(this);
  }
}

/** Looks at connections now and then. */
export class VanishedPeers {
  readonly #parts = Array.from({ length: PARTS }, () => new Set<Watch>());
  #next = 0;
  #turn = 0;
  #timer: ReturnType<typeof setInterval> | null = null;

  /** Tells the owner once when the socket's peer has vanished, unless the watch has ended. */
  watch(socket: object, owner: Watched): Watch {
    this.#timer ??= setInterval(() => this.#look(performance.now()), LOOK_MS / PARTS).unref();
    return new Watch(socket, owner, this.#parts[this.#next++ % PARTS] as Set<Watch>);
  }

  // --- internal ---

  #look(now: number): void {
    const part = this.#parts[this.#turn++ % PARTS];
    for (const watch of part ?? []) {
      const info = tcpInfo(watch.socket);
      watch.since = info === null ? null : stuckSince(watch.since, now, info);
      if (watch.since === null || now - watch.since < VANISHED_MS) continue;
      watch.end();
      watch.owner.vanished();
    }
    if (this.#timer === null || this.#parts.some(({ size }) => size > 0)) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** Of all connections of this process. */
export const vanishedPeers = new VanishedPeers();
