/**
 * WebSockets for the Bun engine: the app is dialled first, then the client gets its 101 or the app's refusal. Messages,
 * close codes and back-pressure pass both ways. Pings are answered at each hop. The app's side is app-socket.ts.
 */
import { AppSocket, MAX_MESSAGE, type AppListener } from "./app-socket.ts";
import { answerHeaders, Faulted } from "./bun-http.ts";
import { UpstreamFault, type Forward, type Passage } from "./engine.ts";
import { edited } from "../headers.ts";
import { Failure } from "../../shared/failure.ts";

type Client = Bun.ServerWebSocket<Bridge>;

/** Above this many unsent bytes the other side is not read from. dataplane W6 allows 1 MiB a direction. */
const HIGH_WATER = 512 * 1024;
/** A silent app is pinged; one that is silent for two looks is gone: 40 to 60 s. Milliseconds. */
const LOOK_EVERY_MS = 20_000;

/** What belongs to one pair of connections. */
export class Bridge implements AppListener {
  readonly #app: AppSocket;
  readonly #passage: Passage;
  #client: Client | null = null;
  #asked = false;
  #over = false;

  constructor(app: AppSocket, passage: Passage) {
    this.#app = app;
    this.#passage = passage;
    passage.stop = () => this.#drop();
    passage.goAway = () => this.goAway();
    bridges.add(this);
  }

  // --- the client's side ---

  clientOpened(client: Client): void {
    this.#client = client;
    if (this.#over) return client.terminate();
    this.#app.listen(this);
  }

  clientSaid(message: string | Uint8Array): void {
    this.#passage.moved();
    if (!this.#app.send(message)) this.#client?.pause();
  }

  clientDrained(): void {
    this.#app.resume();
  }

  clientClosed(code: number, reason: string): void {
    this.#client = null;
    this.#release();
    // 1006 is never sent: the connection just broke.
    if (code === 1006) this.#app.terminate();
    else this.#app.close(code, reason);
  }

  // --- the app's side ---

  text(message: string): void {
    this.#toClient((client) => client.sendText(message));
  }

  binary(message: Buffer): void {
    this.#toClient((client) => client.sendBinary(message));
  }

  drained(): void {
    this.#client?.resume();
  }

  closed(code: number, reason: string): void {
    const client = this.#client;
    if (client === null) return;
    // Paused, it would never see the client's close frame.
    client.resume();
    if (code === 1006) client.terminate();
    else client.close(code, reason);
  }

  // --- the worker's side ---

  /** The client never came. */
  abandon(): void {
    this.#drop();
  }

  /** The worker stops: RFC 6455 §7.4.1, 1001. */
  goAway(): void {
    this.#client?.resume();
    this.#client?.close(1001, "the proxy is restarting");
    this.#app.close(1001, "the proxy is restarting");
  }

  /** Asks a silent app, and drops one that has not answered since the last look. */
  look(): void {
    if (this.#app.takeHeard()) this.#asked = false;
    else if (this.#asked) this.#drop();
    else {
      this.#asked = true;
      this.#app.ping();
    }
  }

  // --- internal ---

  #toClient(send: (client: Client) => number): void {
    this.#passage.moved();
    const client = this.#client;
    if (client === null) return;
    send(client);
    if (client.getBufferedAmount() > HIGH_WATER) this.#app.pause();
  }

  #drop(): void {
    this.#release();
    this.#app.terminate();
    this.#client?.terminate();
  }

  #release(): void {
    this.#over = true;
    bridges.delete(this);
    this.#passage.release();
  }
}

/** All that are open, for the look at silent apps. */
const bridges = new Set<Bridge>();
setInterval(() => {
  for (const bridge of bridges) bridge.look();
}, LOOK_EVERY_MS).unref();

export const bridgeHandlers: Bun.WebSocketHandler<Bridge> = {
  open: (client) => client.data.clientOpened(client),
  message: (client, message) => client.data.clientSaid(message),
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

/** Dials the app and upgrades the client; gives undefined when it did, else the app's refusal. Rejects with Faulted. */
export async function bridgeWebSocket(
  request: Request,
  server: Bun.Server<Bridge>,
  target: string,
  to: Forward,
): Promise<Response | undefined> {
  const { handshake, passage } = await shakeHands(request, target, to);
  const headers = answerHeaders(handshake.head.headers, to);
  if (handshake.kind === "refused") {
    const { status, statusText } = handshake.head;
    return new Response(released(handshake.body, passage), { status, statusText, headers });
  }
  const bridge = new Bridge(handshake.socket, passage);
  headers.delete("sec-websocket-accept");
  if (server.upgrade(request, { data: bridge, headers })) return undefined;
  bridge.abandon();
  throw new Failure("generic-bad-request", "The WebSocket handshake is not complete");
}

// --- internal ---

async function shakeHands(request: Request, target: string, to: Forward) {
  const headers = edited(request.headers, to.edits);
  for (let { passage } = to; ;) {
    const dialling = AppSocket.connect(passage, target, headers, HIGH_WATER, () => passage.reached());
    passage.stop = dialling.stop;
    request.signal.addEventListener("abort", dialling.stop, { once: true });
    try {
      const handshake = await dialling.answer;
      passage.moved();
      return { handshake, passage };
    } catch (error) {
      const fault = error instanceof UpstreamFault ? error : new UpstreamFault("broken", String(error), error);
      if (fault.kind === "unreachable" || fault.kind === "late") passage.failed();
      const other = fault.kind === "unreachable" ? passage.elsewhere() : null;
      passage.release();
      if (other === null) throw new Faulted(fault, passage);
      passage = other;
    } finally {
      request.signal.removeEventListener("abort", dialling.stop);
    }
  }
}

/** The same stream; the passage ends with it. */
function released(body: ReadableStream<Uint8Array>, passage: Passage): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        passage.release();
      },
      cancel(why) {
        passage.release();
        return reader.cancel(why);
      },
    },
    { highWaterMark: 0 },
  );
}
