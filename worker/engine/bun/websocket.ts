/**
 * WebSockets for the Bun engine: the app is dialled first, then the client gets its 101 or the app's refusal. Messages,
 * close codes and back-pressure pass both ways; pings are answered at each hop. The app's side is protocols/websocket/client.ts.
 */
import { MAX_MESSAGE, type AppListener, type AppSocket } from "../../protocols/websocket/client.ts";
import { edit } from "./http.ts";
import type { ServedClient } from "./served-client.ts";
import { askApps, refusal } from "./upgrade.ts";
import type { Unfinished } from "../../net/unfinished.ts";
import type { Attempt, Forward, Room } from "../../seam/engine.ts";
import { CHECK_EVERY_MS, Keepalive } from "../../protocols/websocket/keepalive.ts";
import { handshakeFault } from "../../protocols/websocket/acceptance.ts";
import { Failure } from "../../../shared/failure.ts";

type Client = Bun.ServerWebSocket<Bridge>;

/**
 * Above this many unsent bytes the other side is not read from; below half of it, it is again. What one read has brought
 * (512 KiB at most) still comes on top: together less than the 1 MiB of dataplane W6.
 */
const HIGH_WATER = 256 * 1024;

/**
 * IANA's registry of close codes: 1012, "service restart". JupyterLab's kernels and terminals take 1000 and 1001 for a
 * goodbye and never come back. marimo 0.25 goes by the reason alone, and dials again after any but its own.
 */
const SERVICE_RESTART = 1012;
const RESTARTING = "the proxy is restarting";
/** The same registry: "try again later". */
const TRY_AGAIN = 1013;
const TOO_MUCH = "too many unfinished messages";

/** Where a WebSocket comes from, and whose it is. */
interface Origin {
  circuit: unknown;
  port: number;
  peer: string;
  peerPort: number;
  room: Room;
}

/** What belongs to one pair of connections. */
export class Bridge implements AppListener {
  readonly #app: AppSocket;
  readonly #attempt: Attempt;
  #client: Client | null = null;
  /** Why the client is not read from: the app is slow, or the client asks and never reads. */
  #appIsFull = false;
  #clientIsFull = false;
  /** The app has broken off: so does the client's connection when it has got what came before. */
  #drops = false;
  /** The worker stops: whatever the app answers, the client is to come back. */
  #isDraining = false;
  readonly #clientKeepalive = new Keepalive();
  readonly #room: Room;
  readonly #unfinished: Unfinished;
  #over = false;

  constructor(app: AppSocket, attempt: Attempt, { room, ...from }: Origin) {
    this.#app = app;
    this.#attempt = attempt;
    this.#room = room;
    this.#unfinished = room.messages.add({ ...from, ofApp: () => app.pending, shed: () => this.#shed() });
    attempt.stop = () => this.#drop();
    attempt.drain = (atOnce) => this.drain(atOnce);
    watch(this);
  }

  // --- the client's side ---

  clientOpened(client: Client): void {
    this.#client = client;
    client.binaryType = "uint8array";
    if (this.#over) return client.terminate();
    this.#app.listen(this);
  }

  clientSaid(message: string | Uint8Array): void {
    this.#clientKeepalive.heard();
    this.#attempt.moved();
    this.#unfinished.whole(message.length);
    this.#app.send(message);
  }

  clientAnswered(bytes: number): void {
    this.#clientKeepalive.answered();
    this.#unfinished.control(bytes);
  }

  /** Bun has answered it already. */
  clientAsked(client: Client, bytes: number): void {
    this.#clientKeepalive.heard();
    this.#unfinished.control(bytes);
    if (this.#clientIsFull || client.getBufferedAmount() <= HIGH_WATER) return;
    this.#clientIsFull = true;
    this.#updateFlow();
  }

  /** Called whenever some of what waits was taken. */
  clientDrained(client: Client): void {
    const waiting = client.getBufferedAmount();
    if (this.#drops && waiting === 0) return client.terminate();
    if (waiting > HIGH_WATER / 2) return;
    this.#app.resume();
    if (!this.#clientIsFull) return;
    this.#clientIsFull = false;
    this.#updateFlow();
  }

  clientClosed(code: number, reason: string): void {
    this.#client = null;
    this.#release();
    // 1006 is never sent: the connection just broke.
    if (code === 1006) this.#app.hangUp();
    else this.#app.close(code, reason);
  }

  // --- the app's side ---

  /** What is sent meanwhile goes out with one system call. */
  together(tell: () => void): void {
    const client = this.#client;
    if (client === null) return tell();
    client.cork(tell);
    if (client.getBufferedAmount() > HIGH_WATER) this.#app.pause();
  }

  text(message: string): void {
    this.#clientKeepalive.sent(message.length);
    this.#client?.sendText(message);
  }

  binary(message: Buffer): void {
    this.#clientKeepalive.sent(message.length);
    this.#client?.sendBinary(message);
  }

  moved(): void {
    this.#attempt.moved();
    if (this.#app.pending > 0) this.#room.messages.grew(this.#unfinished);
  }

  full(): void {
    this.#appIsFull = true;
    this.#updateFlow();
  }

  drained(): void {
    this.#appIsFull = false;
    this.#updateFlow();
  }

  closed(code: number, reason: string): void {
    const client = this.#client;
    if (client === null) return;
    // Paused, it would never see the client's close frame.
    client.resume();
    if (this.#isDraining) client.close(SERVICE_RESTART, RESTARTING);
    else if (code !== 1006) client.close(code, reason);
    // Bun forgets what waits when it terminates.
    else if (client.getBufferedAmount() > 0) this.#drops = true;
    else client.terminate();
  }

  // --- the worker's side ---

  /** The client never came. */
  abandon(): void {
    this.#drop();
  }

  /**
   * The worker stops. The app hears of it first, so that all that it has said by then reaches the client: a notebook's
   * server keeps what comes later. `atOnce` where no time is left for that.
   */
  drain(atOnce: boolean): void {
    this.#isDraining = true;
    if (!atOnce) return this.#app.depart(SERVICE_RESTART, RESTARTING);
    this.#client?.resume();
    this.#client?.close(SERVICE_RESTART, RESTARTING);
    this.#app.close(SERVICE_RESTART, RESTARTING);
  }

  /** Asks who is silent, and drops both when one of them is gone. */
  check(): void {
    this.#checkClient();
    const app = this.#app.check();
    if (app !== "gone") return;
    this.#app.terminate();
    this.closed(1006, "");
  }

  // --- internal ---

  #checkClient(): void {
    const client = this.#client;
    // While it is not listened to, its answers can't be heard.
    if (this.#appIsFull || this.#clientIsFull) this.#clientKeepalive.heard();
    const found = this.#clientKeepalive.check();
    if (found === "ask") client?.ping();
    if (found === "gone") client?.terminate();
  }

  #updateFlow(): void {
    if (this.#appIsFull || this.#clientIsFull) this.#client?.pause();
    else this.#client?.resume();
  }

  /** The client and its app hear why; what an app has sent is let go of at once. */
  #shed(): void {
    this.#client?.resume();
    this.#client?.close(TRY_AGAIN, TOO_MUCH);
    this.#app.close(TRY_AGAIN, TOO_MUCH);
    if (this.#app.pending > 0) this.#app.terminate();
    this.#release();
  }

  #drop(): void {
    this.#release();
    this.#app.terminate();
    this.#client?.terminate();
  }

  #release(): void {
    this.#over = true;
    bridges.delete(this);
    this.#room.messages.remove(this.#unfinished);
    this.#attempt.release();
  }
}

export const bridgeHandlers: Bun.WebSocketHandler<Bridge> = {
  open: (client) => client.data.clientOpened(client),
  message: (client, message) => client.data.clientSaid(message),
  ping: (client, payload) => client.data.clientAsked(client, payload.length),
  pong: (client, payload) => client.data.clientAnswered(payload.length),
  drain: (client) => client.data.clientDrained(client),
  close: (client, code, reason) => client.data.clientClosed(code, reason),
  // Silence is judged by `check`: Bun's own limit cuts a client that has megabytes to read before it sees a ping.
  idleTimeout: 0,
  sendPings: false,
  maxPayloadLength: MAX_MESSAGE,
  // The limit is held by pausing the app's side; closing would lose messages.
  closeOnBackpressureLimit: false,
  backpressureLimit: 2 * MAX_MESSAGE,
  perMessageDeflate: false,
};

/** A request for a WebSocket. */
interface Upgrading {
  request: Request;
  server: Bun.Server<Bridge>;
  head: Omit<Origin, "circuit" | "port"> & { target: string };
  client: ServedClient;
}

/** Dials the app and upgrades the client; gives undefined when it did, else the refusal. Rejects with Faulted. */
export async function bridgeWebSocket<C>(
  { request, server, head, client }: Upgrading,
  to: Forward<C>,
): Promise<Response | undefined> {
  const fault = handshakeFault((name) => request.headers.get(name));
  if (fault !== null) {
    to.attempt.release();
    if (fault instanceof Failure) throw fault;
    return new Response(null, fault);
  }
  const { answer, attempt } = await askApps(request, head.target, to, {
    highWater: HIGH_WATER,
    connections: head.room.connections,
  });
  const headers = edit(answer.head.headers, to.answerEdits(answer.head.headers, answer.head.status));
  if (answer.kind === "refused") return refusal(answer, headers, attempt, client);
  const { peer, peerPort, room } = head;
  const origin = { circuit: to.circuit, port: server.port ?? 0, peer, peerPort, room };
  const bridge = new Bridge(answer.socket, attempt, origin);
  for (const name of ["sec-websocket-accept", "content-length"]) headers.delete(name);
  // Without the header Bun would choose the first subprotocol that the client offers; an empty one is not sent.
  if (!headers.has("sec-websocket-protocol")) headers.set("sec-websocket-protocol", "");
  if (server.upgrade(request, { data: bridge, headers })) return undefined;
  bridge.abandon();
  throw new Failure("generic-bad-request", "The WebSocket handshake is not complete");
}

// --- internal ---

/** All that are open, for the check of silent ones. */
const bridges = new Set<Bridge>();
let checking: ReturnType<typeof setInterval> | null = null;

function watch(bridge: Bridge): void {
  bridges.add(bridge);
  checking ??= setInterval(checkAll, CHECK_EVERY_MS).unref();
}

function checkAll(): void {
  for (const bridge of bridges) bridge.check();
  if (bridges.size > 0 || checking === null) return;
  clearInterval(checking);
  checking = null;
}
