/** Outgoing TCP connections with a connect limit, for all but `fetch`, whose limit is in head-watch.ts. */
import { reason } from "../../shared/failure.ts";
import type { Connections } from "./connections.ts";
import { endConnecting, noteSocket, type NotedSocket } from "./linux-connecting.ts";
import { noteDialled } from "./dialled.ts";
import { raceTo } from "./race.ts";
import type { Target } from "./targets.ts";
import { UpstreamFault } from "./upstream-fault.ts";

/** dataplane H14, T3. Milliseconds. */
export const CONNECT_LIMIT_MS = 10_000;

/** A connection that is being made. */
export interface Dialled<T> {
  /** Rejects with an UpstreamFault. */
  socket: Promise<Bun.Socket<T>>;
  /** Gives it up: `socket` rejects, and what has connected or connects later is closed. */
  cancel: () => void;
}

interface DialOptions {
  /** Milliseconds. */
  limit?: number;
  /** Where more than one at a time are counted, and one that was given up and can't be ended, until the system gives it up too. */
  connections?: Connections;
  /** Told which of several addresses has accepted: a socket that was reset since does not know. */
  taken?: (address: string) => void;
}

/** Connects within `limit` milliseconds. The socket stays open for writing when the other side has ended its half. */
export function dial<T>(
  to: Target,
  data: T,
  handlers: Bun.SocketHandler<T>,
  { limit = CONNECT_LIMIT_MS, connections, taken }: DialOptions = {},
): Dialled<T> {
  const { promise, resolve, reject } = Promise.withResolvers<Bun.Socket<T>>();
  let over = false;
  let made: Bun.Socket<T> | null = null;
  const making = new Set<Making>();
  const count = (one: Making) => void (one.counted ??= connections?.givenUp() ?? null);
  const giveUp = () => {
    for (const one of making) {
      if (one.socket !== null && endConnecting(one.socket, one.address, to.port)) one.over();
      else {
        count(one);
        one.linger();
      }
    }
  };
  const end = (fault: UpstreamFault) => {
    over = true;
    giveUp();
    clearTimeout(timer);
    made?.terminate();
    reject(fault);
  };
  const timer = setTimeout(() => end(new UpstreamFault("late", `no connection within ${limit} ms`)), limit);
  const connect = (hostname: string, socket: Bun.SocketHandler<T>) => {
    // One of them is for the client, and counts with it.
    for (const other of making) count(other);
    const one = new Making(hostname, to.port, making);
    // What is no address is thrown at once.
    return Promise.try(() => {
      noteDialled(hostname);
      if (one.hasTooMany) throw new UpstreamFault("late", "too many connections that it has not answered");
      const { opened, socket: noted } = noteSocket(() =>
        Bun.connect<T>({ hostname, port: to.port, data, socket, allowHalfOpen: true }),
      );
      one.socket = noted;
      return opened;
    }).finally(() => one.over());
  };
  const connectAny = (addresses: readonly string[]) => {
    if (over) throw new UpstreamFault("revoked", "given up");
    const [first = "", ...others] = addresses;
    return others.length === 0 ? connect(first, handlers) : raceTo(addresses, handlers, connect, () => over, taken);
  };
  Promise.try(() => {
    const addresses = to.addresses();
    return addresses instanceof Promise ? addresses.then(connectAny) : connectAny(addresses);
  }).then(
    (socket) => {
      if (over) return socket.terminate();
      made = socket;
      giveUp();
      clearTimeout(timer);
      resolve(socket);
    },
    (error: unknown) => end(faultOf(error)),
  );
  return { socket: promise, cancel: () => end(new UpstreamFault("revoked", "given up")) };
}

/** How many connections of ours to an address are being made, those included that were given up and can't be ended. */
export function dialling(address: string, port: number): number {
  return underWay.of(keyOf(address, port));
}

/** Resolves true when the target accepts a connection, "late" when it takes too long, false when it refuses. */
export async function reach(to: Target, limit = CONNECT_LIMIT_MS): Promise<boolean | "late"> {
  try {
    const ignore = () => undefined;
    const socket = await dial(to, undefined, { data: ignore, error: ignore }, { limit }).socket;
    socket.terminate();
    return true;
  } catch (error) {
    return error instanceof UpstreamFault && error.kind === "late" ? "late" : false;
  }
}

// --- internal ---

/** Most connections to an address that were given up and can't be ended: with more of them it is not asked again. */
const MAX_LINGERING = 32;

/** Counts by address and port; what is not there is none. */
class Counts {
  readonly #of = new Map<string, number>();

  of(key: string): number {
    return this.#of.get(key) ?? 0;
  }

  change(key: string, by: number): void {
    const now = this.of(key) + by;
    if (now === 0) this.#of.delete(key);
    else this.#of.set(key, now);
  }
}

const [underWay, lingering] = [new Counts(), new Counts()];

/** A connection of a dialling that is under way. */
class Making {
  socket: NotedSocket | null = null;
  /** Ends its count in the room; null while it has none. */
  counted: (() => void) | null = null;
  readonly address: string;
  readonly #key: string;
  readonly #all: Set<Making>;
  #lingers = false;

  constructor(address: string, port: number, all: Set<Making>) {
    this.address = address;
    this.#key = keyOf(address, port);
    this.#all = all.add(this);
    underWay.change(this.#key, 1);
  }

  get hasTooMany(): boolean {
    return lingering.of(this.#key) >= MAX_LINGERING;
  }

  /** It was given up, and stays until the system gives it up. */
  linger(): void {
    if (!this.#lingers) lingering.change(this.#key, 1);
    this.#lingers = true;
  }

  /** It has come about, failed or was ended. More than once does no harm. */
  over(): void {
    if (!this.#all.delete(this)) return;
    underWay.change(this.#key, -1);
    if (this.#lingers) lingering.change(this.#key, -1);
    this.counted?.();
  }
}

function faultOf(error: unknown): UpstreamFault {
  if (error instanceof UpstreamFault) return error;
  return new UpstreamFault(isReset(error) ? "broken" : "unreachable", reason(error), error);
}

/** It has accepted the connection, and broke it off before Bun could tell that it is open. */
function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNRESET";
}

function keyOf(address: string, port: number): string {
  return `${address} ${port}`;
}
