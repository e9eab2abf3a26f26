/**
 * What follows a 101: bytes both ways, as they are, with back-pressure, half-close and resets. Of a WebSocket the edges of
 * frames are followed, so that the worker's Close can stand between two of them when it stops.
 */
import { closePayload, OPCODE, writeFrame } from "../../protocols/websocket/frames.ts";
import { FrameEdges } from "../../protocols/websocket/frame-edges.ts";
import type { Attempt } from "../../seam/engine.ts";
import type { AppConnection } from "./app-connection.ts";
import type { Outlet } from "./outlet.ts";

/** The client's connection, as far as a tunnel needs it. */
export interface TunnelClient {
  readonly out: Outlet;
  limit(ms: number | null): void;
  pause(): void;
  resume(): void;
  terminate(): void;
  abandon(): void;
}

/** RFC 6455 and the registry: JupyterLab does not come back after 1001 (dataplane F4). */
const SERVICE_RESTART = 1012;
const RESTARTING = "service restart";
/** RFC 6455 §7.1.1: a client ends its half after its app's; one that has not by then has vanished, or takes nothing. Milliseconds. */
const CLOSING_MS = 30_000;
/** An app that was asked to close has so long to answer its client; then the worker does, and the client has it again. Milliseconds. */
const GOODBYE_MS = 5000;

export class Tunnel {
  readonly #client: TunnelClient;
  readonly #app: AppConnection;
  readonly #attempt: Attempt;
  readonly #isWebSocket: boolean;
  readonly #toApp: Direction;
  readonly #toClient: Direction;
  /** The worker stops: the app was asked to close, and then the client too. */
  #isDraining = false;
  #isAtOnce = false;
  #clientEnded = false;
  #appEnded = false;
  #isClientGone = false;
  #isAppGone = false;

  constructor(client: TunnelClient, app: AppConnection, attempt: Attempt, isWebSocket: boolean) {
    this.#client = client;
    this.#app = app;
    this.#attempt = attempt;
    this.#isWebSocket = isWebSocket;
    this.#toApp = new Direction(app.out, isWebSocket, maskedClose);
    this.#toClient = new Direction(client.out, isWebSocket, plainClose);
    attempt.stop = () => this.#cut();
    if (isWebSocket) attempt.drain = (atOnce) => this.#drain(atOnce);
  }

  clientSaid(bytes: Buffer): number {
    if (this.#isAppGone) return bytes.length;
    if (!this.#toApp.pass(bytes)) this.#client.pause();
    if (this.#toApp.hadMessage) this.#attempt.moved();
    return bytes.length;
  }

  appSaid(bytes: Buffer): void {
    if (!this.#toClient.pass(bytes)) this.#app.pause();
    if (this.#toClient.hadMessage) this.#attempt.moved();
    this.#endBehindClose();
  }

  clientHasRoom(): void {
    this.#app.resume();
  }

  appHasRoom(): void {
    this.#client.resume();
  }

  clientEnded(): void {
    this.#clientEnded = true;
    this.#app.out.end();
  }

  appEnded(): void {
    this.#appEnded = true;
    this.#client.out.end();
    if (this.#isWebSocket) this.#client.limit(CLOSING_MS);
  }

  /** Both halves have ended and all has reached the client, or it was broken: then so is the app's. */
  clientGone(): void {
    this.#isClientGone = true;
    const isWhole = this.#clientEnded && this.#appEnded && this.#client.out.hasEnded;
    if (!isWhole) this.#endApp();
    this.#releaseBehindBoth();
  }

  /** An app that has ended its half, and resets the rest, has said all that it wanted to. */
  appGone(broken: boolean): void {
    this.#isAppGone = true;
    if (broken && !this.#appEnded) this.#client.terminate();
    else this.#client.out.end();
    this.#client.limit(CLOSING_MS);
    this.#releaseBehindBoth();
  }

  /** The time for the client's end has passed; one that still has bytes to take gets them. */
  late(): void {
    if (this.#isDraining && !this.#isAtOnce) return this.#drain(true);
    if (this.#client.out.isEmpty) this.#client.abandon();
    else this.#client.limit(CLOSING_MS);
  }

  // --- internal ---

  /** The app hears of it first, and its own Close reaches the client behind all that it has said by then. */
  #drain(atOnce: boolean): void {
    this.#isDraining = true;
    this.#isAtOnce ||= atOnce;
    this.#toApp.close();
    this.#client.limit(GOODBYE_MS);
    if (!atOnce) return;
    this.#toClient.close();
    this.#endBehindClose();
  }

  #endBehindClose(): void {
    if (this.#toClient.isClosed) this.#client.out.end();
  }

  #cut(): void {
    this.#endApp();
    this.#client.terminate();
    // Who was gone before is not told again.
    this.#isClientGone = true;
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
  readonly #closeFrame: () => Buffer;
  #closesAtEdge = false;

  constructor(out: Outlet, isWebSocket: boolean, closeFrame: () => Buffer) {
    this.#out = out;
    this.#edges = isWebSocket ? new FrameEdges() : null;
    this.#closeFrame = closeFrame;
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
    this.#out.write(this.#closeFrame());
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
