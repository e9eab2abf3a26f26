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
  pause(): void;
  resume(): void;
  terminate(): void;
}

/** RFC 6455 and the registry: JupyterLab does not come back after 1001 (dataplane F4). */
const SERVICE_RESTART = 1012;
const RESTARTING = "service restart";

export class Tunnel {
  readonly #client: TunnelClient;
  readonly #app: AppConnection;
  readonly #attempt: Attempt;
  /** Of a WebSocket. */
  readonly #edges: { toApp: FrameEdges; toClient: FrameEdges } | null;
  /** A Close of ours waits for the next edge. */
  #closesApp = false;
  #closesClient = false;
  #clientEnded = false;
  #appEnded = false;
  #isOver = false;

  constructor(client: TunnelClient, app: AppConnection, attempt: Attempt, isWebSocket: boolean) {
    this.#client = client;
    this.#app = app;
    this.#attempt = attempt;
    this.#edges = isWebSocket ? { toApp: new FrameEdges(), toClient: new FrameEdges() } : null;
    attempt.stop = () => this.#cut();
    if (isWebSocket) attempt.drain = (atOnce) => this.#drain(atOnce);
  }

  clientSaid(bytes: Buffer): number {
    this.#attempt.moved();
    const edge = this.#edges?.toApp.pass(bytes) ?? -1;
    const isEdge = this.#closesApp && edge !== -1;
    if (!this.#app.out.write(isEdge ? bytes.subarray(0, edge) : bytes)) this.#client.pause();
    if (isEdge) this.#closeApp();
    return bytes.length;
  }

  appSaid(bytes: Buffer): void {
    const edge = this.#edges?.toClient.pass(bytes) ?? -1;
    const isEdge = this.#closesClient && edge !== -1;
    if (!this.#client.out.write(isEdge ? bytes.subarray(0, edge) : bytes)) this.#app.pause();
    if (isEdge) this.#closeClient();
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
    this.#endWithBoth();
  }

  appEnded(): void {
    this.#appEnded = true;
    this.#client.out.end();
    this.#endWithBoth();
  }

  clientGone(): void {
    this.#finish();
    this.#app.terminate();
  }

  appGone(broken: boolean): void {
    this.#finish();
    if (broken) this.#client.terminate();
    else this.#client.out.end();
  }

  // --- internal ---

  /** The app hears of it first, and its own Close reaches the client behind all that it has said by then. */
  #drain(atOnce: boolean): void {
    this.#closesApp = true;
    if (this.#edges?.toApp.isBetween === true) this.#closeApp();
    if (!atOnce) return;
    this.#closesClient = true;
    if (this.#edges?.toClient.isBetween === true) this.#closeClient();
  }

  #closeApp(): void {
    this.#closesApp = false;
    const payload = closePayload(SERVICE_RESTART, RESTARTING);
    const frame = Buffer.alloc(payload.length + 14);
    this.#app.out.write(frame.subarray(0, writeFrame(frame, 0, OPCODE.close, payload)));
  }

  #closeClient(): void {
    this.#closesClient = false;
    const payload = closePayload(SERVICE_RESTART, RESTARTING);
    this.#client.out.write(Buffer.concat([Buffer.from([0x80 | OPCODE.close, payload.length]), payload]));
    this.#client.out.end();
  }

  #endWithBoth(): void {
    if (this.#clientEnded && this.#appEnded) this.#finish();
  }

  #cut(): void {
    this.#app.terminate();
    this.#client.terminate();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#attempt.release();
  }
}
