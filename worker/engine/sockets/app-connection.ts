/**
 * Connections to apps, and those of them that are idle (RFC 9112 §9.3): each route has its own, kept as long as the app allows,
 * for a minute at most, and as long as the route is there, without a limit of their number. An app that says something unasked is not understood: its
 * connection is closed.
 */
import type { Connections, Spare } from "../../net/connections.ts";
import { dial, type Dialled } from "../../net/dial.ts";
import { askSilentPeer } from "../../../shared/net/linux-tcp.ts";
import { vanishedPeers, type Watch, type Watched } from "../../net/vanished.ts";
import type { Attempt, Keeper, Kept } from "../../seam/engine.ts";
import { deadlines, type Limited } from "../../net/deadlines.ts";
import { Outlet, type OutletOwner } from "./outlet.ts";
import { giveBackLarge } from "../../net/spent.ts";
import { strayError } from "../../net/stray-error.ts";

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
/** How long an app may take to end its half when ours has ended. Milliseconds. */
const CLOSING_MS = 2000;

export class AppConnection implements Limited, Kept, OutletOwner, Watched {
  deadline = Infinity;
  user: AppUser | null = null;
  /** Its first user has it. */
  isNew = true;
  /** How long nobody had used it before its present user. Milliseconds. */
  idleMs = 0;
  /** performance.now() milliseconds. */
  #idleSince = 0;
  /** Who has it while it is idle. */
  #keeper: Keeper | null = null;
  #socket: Bun.Socket<AppConnection> | null = null;
  #out: Outlet | null = null;
  #watch: Watch | null = null;
  readonly #connections: Connections;
  /** While it is no client's. */
  #spare: Spare | null = null;
  #isPaused = false;
  #isReset = false;
  #isClosing = false;
  #isOver = false;

  constructor(connections: Connections) {
    this.#connections = connections;
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
    this.#out = new Outlet(socket, this);
    socket.setNoDelay(true);
    askSilentPeer(socket);
    this.#watch = vanishedPeers.watch(socket, this);
    deadlines.add(this);
  }

  pause(): void {
    if (this.#isOver || this.#isPaused || this.#isReset) return;
    this.#isPaused = true;
    this.#socket?.pause();
  }

  resume(): void {
    if (this.#isOver || !this.#isPaused) return;
    this.#isPaused = false;
    this.#socket?.resume();
  }

  said(bytes: Buffer): void {
    if (this.user !== null) this.user.appSaid(bytes);
    else if (!this.#isClosing) this.close();
  }

  drained(): void {
    if (this.#out?.drain() === true) this.user?.appHasRoom();
  }

  /** Its end is none where it was reset: `gone` follows. */
  ended(): void {
    if (this.#isReset) return;
    if (this.user !== null) this.user.appEnded();
    else this.close();
  }

  gone(broken: boolean): void {
    if (this.#isOver) return;
    const user = this.user;
    this.#forget();
    user?.appGone(broken || this.#isReset);
  }

  /** Who writes pauses; it hears of more room. */
  outIsFull(): void {}

  /** What it has said before it was reset still comes; and while it is paused, nothing would be told of it. */
  outIsBroken(why: "reset" | "flood"): void {
    if (why === "flood") return queueMicrotask(() => this.vanished());
    this.#isReset = true;
    if (this.#isPaused) this.#socket?.resume();
  }

  /** FIN: nothing more is asked, and what the app still says is passed over. Its user does not hear of it. */
  close(): void {
    if (this.#isOver || this.#isClosing) return;
    this.#leaveKeeper();
    this.user = null;
    if (!this.#isSpare()) return this.#giveWay();
    this.#isClosing = true;
    this.deadline = performance.now() + CLOSING_MS;
    this.#out?.end();
    this.resume();
  }

  /** RST: nothing of it is of use any more. Its user does not hear of it. */
  terminate(): void {
    if (this.#isOver) return;
    this.#forget();
    this.#socket?.terminate();
  }

  vanished(): void {
    const { user } = this;
    this.terminate();
    user?.appGone(true);
  }

  late(): void {
    if (this.#isClosing) this.terminate();
    else this.close();
  }

  /** It is free: the next request over this route may have it. `allowedMs`: how long the app keeps it, where it says so. */
  keep(keeper: Keeper, allowedMs: number | null): void {
    const keep = Math.min(IDLE_MS, allowedMs === null ? IDLE_MS : allowedMs - SPARE_MS);
    // Bytes that the app has not taken yet are of no request that will be answered.
    if (keep <= 0 || keeper.removed || !this.out.isEmpty || !this.#isSpare()) return this.close();
    this.user = null;
    this.#idleSince = performance.now();
    this.deadline = this.#idleSince + keep;
    this.#keeper = keeper;
    keeper.kept.push(this);
    this.resume();
  }

  /** It is in use again; false when it has been idle for more than `maxIdleMs` milliseconds, and stays so. */
  take(maxIdleMs: number): boolean {
    const idleMs = performance.now() - this.#idleSince;
    if (idleMs > maxIdleMs) return false;
    this.idleMs = idleMs;
    this.isNew = false;
    this.#leaveKeeper();
    this.#spare?.leave();
    this.#spare = null;
    this.deadline = Infinity;
    return true;
  }

  // --- internal ---

  /** False where there is no room for one that no client uses. */
  #isSpare(): boolean {
    this.#spare ??= this.#connections.spare(() => this.#giveWay());
    return this.#spare !== null;
  }

  /** FIN, and the file is free at once. */
  #giveWay(): void {
    if (this.#isOver) return;
    this.#forget();
    this.#socket?.close();
  }

  #leaveKeeper(): void {
    const kept = this.#keeper?.kept;
    this.#keeper = null;
    if (kept === undefined) return;
    // It was most likely the newest.
    const at = kept.lastIndexOf(this);
    if (at !== -1) kept.splice(at, 1);
  }

  #forget(): void {
    this.#isOver = true;
    this.user = null;
    this.#leaveKeeper();
    this.#spare?.leave();
    deadlines.delete(this);
    this.#watch?.end();
  }
}

/** An idle connection of a route; null when there is none, or none that has been idle for at most `maxIdleMs` milliseconds. */
export function takeIdle({ kept }: Keeper, maxIdleMs: number): AppConnection | null {
  const last = kept.at(-1);
  return last instanceof AppConnection && last.take(maxIdleMs) ? last : null;
}

/** Connects anew. `socket` rejects with an UpstreamFault. */
export function connectApp({ target }: Pick<Attempt, "target">, connections: Connections): Dialled<AppConnection> {
  return dial(target, new AppConnection(connections), HANDLERS, { connections });
}

// --- internal ---

const HANDLERS: Bun.SocketHandler<AppConnection> = {
  open: (socket) => socket.data.opened(socket),
  data({ data: connection }, bytes) {
    connection.said(bytes);
    giveBackLarge(bytes);
  },
  drain: ({ data: connection }) => connection.drained(),
  end: ({ data: connection }) => connection.ended(),
  close: ({ data: connection }, error) => connection.gone(error !== undefined && error !== null),
  error: strayError,
};
