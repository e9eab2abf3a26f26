/**
 * Connections to apps, and those of them that are idle (RFC 9112 §9.3): kept as long as the app allows, without a limit of
 * their number. An app that says something unasked is not understood: its connection is dropped.
 */
import { dial, type Dialled } from "../../net/dial.ts";
import { Outlet } from "./outlet.ts";
import { deadlines, type Limited } from "./deadlines.ts";

/** Who uses a connection for a request. */
export interface AppUser {
  /** Bytes of the app; their memory is the socket's. */
  appSaid(bytes: Buffer): void;
  /** The system has taken what was held back. */
  appHasRoom(): void;
  /** The app has ended its half. */
  appEnded(): void;
  /** The connection is gone; `broken` where it was reset. */
  appGone(broken: boolean): void;
}

/** An idle connection is closed after this. Apps that close earlier say so, or close it. Milliseconds. */
const IDLE_MS = 60_000;
/** What an app allows is used up to this much before its end: a request may be on its way then. Milliseconds. */
const SPARE_MS = 1000;

export class AppConnection implements Limited {
  readonly key: string;
  deadline = Infinity;
  user: AppUser | null = null;
  /** Since when nobody uses it, performance.now() milliseconds. */
  idleSince = 0;
  #socket: Bun.Socket<AppConnection> | null = null;
  #out: Outlet | null = null;
  #isOver = false;

  constructor(key: string) {
    this.key = key;
  }

  get out(): Outlet {
    if (this.#out === null) throw new Error("the connection to the app is not open");
    return this.#out;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  opened(socket: Bun.Socket<AppConnection>): void {
    this.#socket = socket;
    this.#out = new Outlet(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
  }

  pause(): void {
    if (!this.#isOver) this.#socket?.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#socket?.resume();
  }

  said(bytes: Buffer): void {
    if (this.user !== null) this.user.appSaid(bytes);
    else this.terminate();
  }

  drained(): void {
    if (this.#out?.drain() === true) this.user?.appHasRoom();
  }

  ended(): void {
    if (this.user !== null) this.user.appEnded();
    else this.terminate();
  }

  gone(broken: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    forget(this);
    this.user?.appGone(broken);
    this.user = null;
  }

  /** RST: nothing of it is of use any more. Its user does not hear of it. */
  terminate(): void {
    this.user = null;
    if (this.#isOver) return;
    this.#isOver = true;
    forget(this);
    this.#socket?.terminate();
  }

  late(): void {
    this.terminate();
  }
}

/** A peer that has vanished is noticed by the system. Milliseconds. */
const KEEPALIVE_MS = 30_000;

/** An idle connection; null when there is none, or none that is fresh enough: of at most `maxIdleMs` milliseconds. */
export function takeIdle(key: string, maxIdleMs: number): AppConnection | null {
  const list = idle.get(key);
  const last = list?.at(-1);
  if (list === undefined || last === undefined || performance.now() - last.idleSince > maxIdleMs) return null;
  list.pop();
  deadlines.delete(last);
  last.deadline = Infinity;
  return last;
}

/** The connection is free. `allowedMs`: how long the app keeps it, where it says so. */
export function putIdle(connection: AppConnection, allowedMs: number | null): void {
  connection.user = null;
  connection.idleSince = performance.now();
  const keep = Math.min(IDLE_MS, allowedMs === null ? IDLE_MS : allowedMs - SPARE_MS);
  if (keep <= 0) return connection.terminate();
  connection.deadline = connection.idleSince + keep;
  deadlines.add(connection);
  const list = idle.get(connection.key);
  if (list === undefined) idle.set(connection.key, [connection]);
  else list.push(connection);
}

/** Connects anew. `socket` rejects with an UpstreamFault. */
export function connectApp(to: { host: string; port: number }, key: string): Dialled<AppConnection> {
  return dial(to, new AppConnection(key), HANDLERS);
}

// --- internal ---

const idle = new Map<string, AppConnection[]>();

function forget(connection: AppConnection): void {
  deadlines.delete(connection);
  const list = idle.get(connection.key);
  const at = list?.indexOf(connection) ?? -1;
  if (list === undefined || at === -1) return;
  list.splice(at, 1);
  if (list.length === 0) idle.delete(connection.key);
}

const HANDLERS: Bun.SocketHandler<AppConnection> = {
  open: (socket) => socket.data.opened(socket),
  data: ({ data: connection }, bytes) => connection.said(bytes),
  drain: ({ data: connection }) => connection.drained(),
  end: ({ data: connection }) => connection.ended(),
  close: ({ data: connection }, error) => connection.gone(error !== undefined && error !== null),
  error: ({ data: connection }) => connection.gone(true),
};
