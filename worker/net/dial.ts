/** Outgoing TCP connections with a connect limit, for all but `fetch`, whose limit is in head-watch.ts. */
import { reason } from "../../shared/failure.ts";
import type { Connections } from "./connections.ts";
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
  /** Where one that was given up is counted, until the system has given it up too. */
  connections?: Connections;
}

/** Connects within `limit` milliseconds. The socket stays open for writing when the other side has ended its half. */
export function dial<T>(
  to: Target,
  data: T,
  handlers: Bun.SocketHandler<T>,
  { limit = CONNECT_LIMIT_MS, connections }: DialOptions = {},
): Dialled<T> {
  const { promise, resolve, reject } = Promise.withResolvers<Bun.Socket<T>>();
  let over = false;
  let made: Bun.Socket<T> | null = null;
  const making = new Set<Making>();
  /** Bun can't end what is being made. */
  const giveUp = () => {
    for (const one of making) one.counted ??= connections?.givenUp() ?? null;
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
    const key = keyOf(hostname, to.port);
    underWay.set(key, (underWay.get(key) ?? 0) + 1);
    // One of them is for the client, and counts with it.
    giveUp();
    const one: Making = { counted: null };
    making.add(one);
    // What is no address is thrown at once.
    return Promise.try(() => Bun.connect<T>({ hostname, port: to.port, data, socket, allowHalfOpen: true })).finally(
      () => {
        settled(key);
        making.delete(one);
        one.counted?.();
      },
    );
  };
  const connectAny = (addresses: readonly string[]) => {
    if (over) throw new UpstreamFault("revoked", "given up");
    const [first = "", ...others] = addresses;
    return others.length === 0 ? connect(first, handlers) : raceTo(addresses, handlers, connect, () => over);
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

/** How many connections of ours to an address are being made, those that were given up included: Bun can't end them. */
export function dialling(address: string, port: number): number {
  return underWay.get(keyOf(address, port)) ?? 0;
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

/** A connection of a dialling that is under way. */
interface Making {
  /** Ends its count among those that were given up; null while it is not one of them. */
  counted: (() => void) | null;
}

function faultOf(error: unknown): UpstreamFault {
  if (error instanceof UpstreamFault) return error;
  return new UpstreamFault(isReset(error) ? "broken" : "unreachable", reason(error), error);
}

/** It has accepted the connection, and broke it off before Bun could tell that it is open. */
function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNRESET";
}

const underWay = new Map<string, number>();

function keyOf(address: string, port: number): string {
  return `${address} ${port}`;
}

function settled(key: string): void {
  const left = (underWay.get(key) ?? 1) - 1;
  if (left === 0) underWay.delete(key);
  else underWay.set(key, left);
}
