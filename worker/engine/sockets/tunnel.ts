/**
 * What follows a 101: bytes both ways, as they are, with back-pressure, half-close and resets. Of a WebSocket the edges of
 * frames are followed, so that the worker's Close can stand between two of them when it stops. It takes the place of what
 * had the client's socket: an idle WebSocket holds nothing of the exchange that it began with.
 */
import { vanishedPeers, type Watch, type Watched } from "../../net/vanished.ts";
import type { Place } from "../../net/connections.ts";
import { closePayload, OPCODE, writeFrame } from "../../protocols/websocket/frames.ts";
import { FrameEdges } from "../../protocols/websocket/frame-edges.ts";
import type { Attempt } from "../../seam/engine.ts";
import type { Accepted, Listening, Open } from "./accepted.ts";
import type { AppConnection, AppUser } from "./app-connection.ts";
import { deadlines, type Limited } from "../../net/deadlines.ts";
import type { Outlet, OutletOwner } from "./outlet.ts";

/** A client's socket, given over. */
export interface ClientEnd {
  readonly entrance: Listening;
  readonly socket: Bun.Socket<Accepted>;
  readonly place: Place;
  readonly out: Outlet;
}

/** RFC 6455 and the registry: JupyterLab does not come back after 1001 (dataplane F4). */
const SERVICE_RESTART = 1012;
const RESTARTING = "service restart";
/** RFC 6455 §7.1.1: a client ends its half after its app's; one that has not by then has vanished, or takes nothing. Milliseconds. */
const CLOSING_MS = 30_000;
/** An app that was asked to close has so long to answer its client; then the worker does, and the client has it again. Milliseconds. */
const GOODBYE_MS = 5000;

export class Tunnel implements Accepted, AppUser, Limited, Open, OutletOwner, Watched {
  deadline = Infinity;
  readonly #entrance: Listening;
  readonly #socket: Bun.Socket<Accepted>;
  readonly #place: Place;
  readonly #out: Outlet;
  readonly #app: AppConnection;
  readonly #attempt: Attempt;
  readonly #isWebSocket: boolean;
  readonly #toApp: Direction;
  readonly #toClient: Direction;
  readonly #watch: Watch;
  /** The client is not read: the app takes no more. */
  #isPaused = false;
  /** When its end has to have come, and something of what is there for the client taken: performance.now() milliseconds. */
  #endsBy = Infinity;
  #takenBy = Infinity;
  /** The worker stops: the app was asked to close, and then the client too. */
  #isDraining = false;
  #isAtOnce = false;
  #clientEnded = false;
  #appEnded = false;
  #isClientGone = false;
  #isAppGone = false;

  constructor({ entrance, socket, place, out }: ClientEnd, app: AppConnection, attempt: Attempt, isWebSocket: boolean) {
    this.#entrance = entrance;
    this.#socket = socket;
    this.#place = place;
    this.#out = out;
    this.#app = app;
    this.#attempt = attempt;
    this.#isWebSocket = isWebSocket;
    this.#toApp = new Direction(app.out, isWebSocket, true);
    this.#toClient = new Direction(out, isWebSocket, false);
    this.#watch = vanishedPeers.watch(socket, this);
    place.end = () => this.terminate();
    socket.data = this;
    out.owner = this;
    app.user = this;
    deadlines.add(this);
    entrance.open.add(this);
    attempt.stop = () => this.#cut();
    if (isWebSocket) attempt.drain = (atOnce) => this.#drain(atOnce);
  }

  // --- the client's side ---

  said(bytes: Buffer): void {
    if (this.#isClientGone || this.#isAppGone) return;
    if (!this.#toApp.pass(bytes)) this.#pauseClient();
    if (this.#toApp.hadMessage) this.#attempt.moved();
  }

  drained(): void {
    if (!this.#out.drain()) return this.outIsFull();
    this.#takenBy = Infinity;
    this.#arm();
    if (!this.#isAppGone) this.#app.resume();
  }

  ended(): void {
    this.#clientEnded = true;
    if (!this.#isAppGone) this.#app.out.end();
  }

  /** Both halves have ended and all has reached the client, or it was broken: then so is the app's. */
  gone(): void {
    if (this.#isClientGone) return;
    this.#isClientGone = true;
    this.#watch.end();
    deadlines.delete(this);
    this.#entrance.open.delete(this);
    this.#place.leave();
    this.#entrance.gone();
    const isWhole = this.#clientEnded && this.#appEnded && this.#out.hasEnded;
    if (!isWhole) this.#endApp();
    this.#releaseBehindBoth();
  }

  /** Something is there for the client; each time that some of it is taken, it has its time again. */
  outIsFull(): void {
    this.#takenBy = performance.now() + this.#entrance.limits.readerMs;
    this.#arm();
  }

  /** Whoever has just written is not done yet. */
  outIsBroken(): void {
    queueMicrotask(() => this.terminate());
  }

  vanished(): void {
    this.terminate();
  }

  terminate(): void {
    if (this.#isClientGone) return;
    this.gone();
    this.#socket.terminate();
  }

  /** It is under way. */
  leave(): void {}

  /** The time for the client's end has passed; one that still has bytes to take gets them. */
  late(): void {
    if (this.#takenBy <= performance.now()) return this.terminate();
    if (this.#isDraining && !this.#isAtOnce) return this.#drain(true);
    if (!this.#out.isEmpty) return this.#endWithin(CLOSING_MS);
    this.gone();
    // Not a reset: what the system holds for the client it goes on sending, at the client's pace.
    this.#socket.close();
  }

  // --- the app's side ---

  appSaid(bytes: Buffer): void {
    if (!this.#toClient.pass(bytes)) this.#app.pause();
    if (this.#toClient.hadMessage) this.#attempt.moved();
    this.#endBehindClose();
  }

  appHasRoom(): void {
    if (!this.#isPaused || this.#isClientGone) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  appEnded(): void {
    this.#appEnded = true;
    this.#out.end();
    if (this.#isWebSocket) this.#endWithin(CLOSING_MS);
  }

  /** An app that has ended its half, and resets the rest, has said all that it wanted to. */
  appGone(broken: boolean): void {
    this.#isAppGone = true;
    if (broken && !this.#appEnded) this.terminate();
    else this.#out.end();
    this.#endWithin(CLOSING_MS);
    this.#releaseBehindBoth();
  }

  // --- internal ---

  /** The app hears of it first, and its own Close reaches the client behind all that it has said by then. */
  #drain(atOnce: boolean): void {
    this.#isDraining = true;
    this.#isAtOnce ||= atOnce;
    this.#toApp.close();
    this.#endWithin(GOODBYE_MS);
    if (!atOnce) return;
    this.#toClient.close();
    this.#endBehindClose();
  }

  #endBehindClose(): void {
    if (this.#toClient.isClosed) this.#out.end();
  }

  #pauseClient(): void {
    if (this.#isPaused || this.#isClientGone) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  #endWithin(ms: number): void {
    this.#endsBy = performance.now() + ms;
    this.#arm();
  }

  #arm(): void {
    this.deadline = Math.min(this.#endsBy, this.#takenBy);
  }

  #cut(): void {
    this.#endApp();
    this.terminate();
    this.#releaseBehindBoth();
  }

  #endApp(): void {
    this.#isAppGone = true;
    this.#app.terminate();
  }

  /** One of them may still have bytes to take. */
  #releaseBehindBoth(): void {
    if (this.#isClientGone && this.#isAppGone) this.#attempt.release();
  }
}

// --- internal ---

/** Bytes one way; of a WebSocket a Close of ours can follow a whole frame, and nothing follows that (RFC 6455 §5.5.1). */
class Direction {
  /** A Close of ours is on its way. */
  isClosed = false;
  readonly #out: Outlet;
  readonly #edges: FrameEdges | null;
  /** RFC 6455 §5.1: what goes to an app is masked. */
  readonly #masks: boolean;
  #closesAtEdge = false;

  constructor(out: Outlet, isWebSocket: boolean, masks: boolean) {
    this.#out = out;
    this.#edges = isWebSocket ? new FrameEdges() : null;
    this.#masks = masks;
  }

  /** The last bytes were use of the circuit: a WebSocket's pings and pongs are none (dataplane A1). */
  get hadMessage(): boolean {
    return this.#edges?.hadMessage ?? true;
  }

  /** False when the source is to pause. */
  pass(bytes: Buffer): boolean {
    if (this.isClosed) return this.#out.isEmpty;
    const edge = this.#edges?.pass(bytes) ?? -1;
    if (!this.#closesAtEdge || edge === -1 || this.#edges?.hasClose === true) return this.#out.write(bytes);
    this.#out.write(bytes.subarray(0, edge));
    this.#writeClose();
    return this.#out.isEmpty;
  }

  /** At the next edge; not where a Close has passed. */
  close(): void {
    if (this.isClosed || this.#edges === null) return;
    if (this.#edges.isBetween) this.#writeClose();
    else this.#closesAtEdge = true;
  }

  // --- internal ---

  #writeClose(): void {
    this.#closesAtEdge = false;
    if (this.#edges?.hasClose === true) return;
    this.#out.write(this.#masks ? maskedClose() : plainClose());
    this.isClosed = true;
  }
}

function plainClose(): Buffer {
  const payload = closePayload(SERVICE_RESTART, RESTARTING);
  return Buffer.concat([Buffer.from([0x80 | OPCODE.close, payload.length]), payload]);
}

function maskedClose(): Buffer {
  const payload = closePayload(SERVICE_RESTART, RESTARTING);
  const frame = Buffer.alloc(payload.length + 14);
  return frame.subarray(0, writeFrame(frame, 0, OPCODE.close, payload));
}
