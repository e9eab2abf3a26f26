/**
 * WebSockets for the Bun engine: the app is dialled first, then the client gets its 101; messages, close codes and
 * back-pressure pass both ways. Pings are answered at each hop.
 */
import { Failure } from "../../shared/failure.ts";
import type { Forward } from "./engine.ts";

type Client = Bun.ServerWebSocket<Bridge>;
type Message = string | Uint8Array;

/** Above this many unsent bytes the other side is not read from. dataplane W6 allows 1 MiB a direction. */
const HIGH_WATER = 512 * 1024;
/** Bun's client WebSocket has no drain event; while it is full, this often it is looked at. Milliseconds. */
const DRAIN_CHECK_MS = 5;
const MAX_MESSAGE = 256 * 1024 * 1024;
const DIAL_TIMEOUT_MS = 10_000;

/** What belongs to one pair of connections. */
export class Bridge {
  readonly #app: WebSocket;
  readonly #moved: () => void;
  #client: Client | null = null;
  /** What the app said before the client was there: at most what one read of its socket held. */
  #early: Message[] = [];
  #draining: ReturnType<typeof setInterval> | null = null;
  #closed: [code: number, reason: string] | null = null;

  /** Takes over an open connection to the app. It is not read from until the client is there. */
  constructor(app: WebSocket, moved: () => void) {
    this.#app = app;
    this.#moved = moved;
    app.pause();
    app.onmessage = ({ data }) => this.#toClient(data as Message);
    app.onclose = ({ code, reason }) => this.#appClosed(code, reason);
  }

  clientOpened(client: Client): void {
    this.#client = client;
    for (const message of this.#early) client.send(message);
    this.#early = [];
    if (this.#app.readyState === WebSocket.OPEN) this.#app.resume();
    else if (this.#closed !== null) this.#appClosed(...this.#closed);
  }

  toApp(message: Message): void {
    this.#moved();
    this.#app.send(message);
    if (this.#app.bufferedAmount > HIGH_WATER) this.#holdClient();
  }

  clientDrained(): void {
    if (this.#app.isPaused) this.#app.resume();
  }

  clientClosed(code: number, reason: string): void {
    this.#client = null;
    this.#stopDraining();
    // 1005: closed without a code; 1006: never sent, the connection just broke.
    if (code === 1006) this.#app.terminate();
    else if (code === 1005) this.#app.close();
    else this.#app.close(code, reason);
  }

  /** The client never came. */
  abandon(): void {
    this.#app.terminate();
  }

  // --- internal ---

  #toClient(message: Message): void {
    this.#moved();
    const client = this.#client;
    if (client === null) return void this.#early.push(message);
    client.send(message);
    if (client.getBufferedAmount() > HIGH_WATER) this.#app.pause();
  }

  #appClosed(code: number, reason: string): void {
    this.#stopDraining();
    this.#closed = [code, reason];
    const client = this.#client;
    if (client === null) return;
    if (code === 1006) client.terminate();
    else if (code === 1005) client.close();
    else client.close(code, reason);
  }

  #holdClient(): void {
    if (this.#draining !== null) return;
    this.#client?.pause();
    this.#draining = setInterval(() => {
      if (this.#app.bufferedAmount > HIGH_WATER / 2) return;
      this.#stopDraining();
      this.#client?.resume();
    }, DRAIN_CHECK_MS);
  }

  #stopDraining(): void {
    if (this.#draining !== null) clearInterval(this.#draining);
    this.#draining = null;
  }
}

export const bridgeHandlers: Bun.WebSocketHandler<Bridge> = {
  open: (client) => client.data.clientOpened(client),
  message: (client, message) => client.data.toApp(message),
  drain: (client) => client.data.clientDrained(),
  close: (client, code, reason) => client.data.clientClosed(code, reason),
  // A silent peer is pinged; one that does not answer is closed within a minute.
  idleTimeout: 60,
  sendPings: true,
  maxPayloadLength: MAX_MESSAGE,
  // The limit is held by pausing the app's side; closing would lose messages.
  closeOnBackpressureLimit: false,
  backpressureLimit: 2 * MAX_MESSAGE,
  perMessageDeflate: false,
};

/** Dials the app and upgrades the client. Gives undefined when upgraded; throws a Failure when the app refuses. */
export async function bridgeWebSocket(
  request: Request,
  server: Bun.Server<Bridge>,
  target: string,
  to: Forward,
): Promise<undefined> {
  const host = to.host.includes(":") ? `[${to.host}]` : to.host;
  const { app, bridge } = await dial(`ws://${host}:${to.port}${target}`, to, request.signal);
  const headers = new Headers(to.answerHeaders);
  if (app.protocol !== "") headers.set("Sec-WebSocket-Protocol", app.protocol);
  if (server.upgrade(request, { data: bridge, headers })) return undefined;
  bridge.abandon();
  throw new Failure("generic-bad-request", "The WebSocket handshake is not complete");
}

// --- internal ---

function dial(
  url: string,
  { headers, moved }: Forward,
  signal: AbortSignal,
): Promise<{ app: WebSocket; bridge: Bridge }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ app: WebSocket; bridge: Bridge }>();
  const app = connect(url, headers);
  app.binaryType = "nodebuffer";
  const fail = (failure: Failure) => {
    clearTimeout(late);
    reject(failure);
    app.terminate();
  };
  const late = setTimeout(() => fail(unreachable("no answer to the handshake in time")), DIAL_TIMEOUT_MS);
  signal.addEventListener(
    "abort",
    () => app.readyState === WebSocket.CONNECTING && fail(unreachable("the client left")),
    { once: true },
  );
  if (signal.aborted) fail(unreachable("the client left"));
  app.onopen = () => {
    clearTimeout(late);
    // In this very callback: the app's first messages may have come with its handshake.
    resolve({ app, bridge: new Bridge(app, moved) });
  };
  app.onerror = (event) => {
    clearTimeout(late);
    reject(refusal("message" in event ? event.message : ""));
  };
  return promise;
}

function connect(url: string, headers: [string, string][]): WebSocket {
  const isProtocol = ([name]: [string, string]) => name.toLowerCase() === "sec-websocket-protocol";
  const offered = headers.filter(isProtocol).flatMap(([, value]) => value.split(",").map((name) => name.trim()));
  try {
    return new WebSocket(url, {
      headers: Object.fromEntries(headers.filter((pair) => !isProtocol(pair))),
      protocols: offered,
      perMessageDeflate: false,
    });
  } catch (error) {
    throw new Failure("generic-bad-request", { msg: "Sec-WebSocket-Protocol: wanted different names", cause: error });
  }
}

/** Bun tells only the status of a refusal, in words. */
function refusal(message: string): Failure {
  const status = /Expected 101 status code: (\d{3})/.exec(message)?.[1];
  if (status === "401" || status === "403")
    return new Failure("generic-forbidden", `The app refused the WebSocket with ${status}`);
  if (status === "404") return new Failure("url-not-found", "The app has no WebSocket here (404)");
  return unreachable(status === undefined ? message : `the app answered ${status} to the WebSocket handshake`);
}

function unreachable(why: string): Failure {
  return new Failure("appproxy/container-connection-refused", {
    msg: "The app does not accept the WebSocket",
    cause: new Error(why),
  });
}
