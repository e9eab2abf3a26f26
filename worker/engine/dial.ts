/** Outgoing TCP connections with a connect limit, and the watch that gives `fetch` one. Used by the Bun engine. */
import { reason } from "../../shared/failure.ts";
import { UpstreamFault } from "./engine.ts";

/** dataplane H14, T3. Milliseconds. */
export const CONNECT_LIMIT_MS = 10_000;

/** A connection that is being made. */
export interface Dialled<T> {
  /** Rejects with an UpstreamFault. */
  socket: Promise<Bun.Socket<T>>;
  /** Gives it up: `socket` rejects, and what connects later is closed. */
  cancel: () => void;
}

/** Connects within `limit` milliseconds. The socket stays open for writing when the other side has ended its half. */
export function dial<T>(
  to: { host: string; port: number },
  data: T,
  handlers: Bun.SocketHandler<T>,
  limit = CONNECT_LIMIT_MS,
): Dialled<T> {
  const { promise, resolve, reject } = Promise.withResolvers<Bun.Socket<T>>();
  let over = false;
  const end = (fault: UpstreamFault) => {
    over = true;
    clearTimeout(timer);
    reject(fault);
  };
  const timer = setTimeout(() => end(new UpstreamFault("late", `no connection within ${limit} ms`)), limit);
  Bun.connect<T>({ hostname: to.host, port: to.port, data, socket: handlers, allowHalfOpen: true }).then(
    (socket) => {
      if (over) return socket.terminate();
      clearTimeout(timer);
      resolve(socket);
    },
    (error: unknown) => end(new UpstreamFault("unreachable", reason(error), error)),
  );
  return { socket: promise, cancel: () => end(new UpstreamFault("revoked", "given up")) };
}

/** Resolves true when the address accepts a connection, "late" when it takes too long, false when it refuses. */
export async function reach(host: string, port: number, limit = CONNECT_LIMIT_MS): Promise<boolean | "late"> {
  try {
    const ignore = () => undefined;
    const socket = await dial({ host, port }, undefined, { data: ignore, error: ignore }, limit).socket;
    socket.terminate();
    return true;
  } catch (error) {
    return error instanceof UpstreamFault && error.kind === "late" ? "late" : false;
  }
}

/** A request that waits for the head of its answer. */
export interface Waiting {
  readonly host: string;
  readonly port: number;
  /** performance.now() milliseconds. */
  readonly since: number;
  /** No connection within the limit. */
  late(): void;
}

/** A request that has waited so long is looked after: most apps have answered by then. Milliseconds. */
const SUSPICIOUS_MS = 3000;
const LOOK_EVERY_MS = 500;

/**
 * `fetch` has no connect limit, and one for the whole head would cut slow answers. So where an answer is slow, the same
 * address is dialled once for all who wait: it accepts, so they are connected and may wait on; or it does not.
 */
export class ConnectWatch {
  /** In order of `since`. */
  readonly #waiting = new Set<Waiting>();
  #looks = false;

  add(one: Waiting): void {
    this.#waiting.add(one);
    if (this.#looks) return;
    this.#looks = true;
    setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  done(one: Waiting): void {
    this.#waiting.delete(one);
  }

  // --- internal ---

  #look(): void {
    const now = performance.now();
    const slow = new Map<string, Waiting[]>();
    for (const one of this.#waiting) {
      if (now - one.since < SUSPICIOUS_MS) break;
      this.#waiting.delete(one);
      const key = `${one.host} ${one.port}`;
      slow.set(key, [...(slow.get(key) ?? []), one]);
    }
    for (const group of slow.values()) void this.#ask(group, now);
  }

  async #ask(group: readonly Waiting[], now: number): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    const found = await reach(first.host, first.port, first.since + CONNECT_LIMIT_MS - now);
    if (found === "late") for (const one of group) one.late();
  }
}
