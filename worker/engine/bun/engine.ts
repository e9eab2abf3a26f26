/**
 * The engine on `Bun.serve` and `fetch`: listeners and the walk of each request. HTTP is in http.ts, WebSockets in
 * websocket.ts, TCP in ../tcp.ts; what they can't do is in capabilities.ts.
 */
import type { Answer } from "../../../shared/http/page.ts";
import { Failure, toFailure } from "../../../shared/failure.ts";
import { pathAndQuery } from "../../../shared/http/target.ts";
import { BUN_CAPABILITIES } from "./capabilities.ts";
import { Faulted, forward } from "./http.ts";
import { ServedClient } from "./served-client.ts";
import { listenTcp } from "../tcp.ts";
import { bridgeHandlers, bridgeWebSocket, type Bridge } from "./websocket.ts";
import { crowdedFailure, type Full } from "../../../shared/net/crowding.ts";
import { bindAlone, bindShared } from "../../listeners/bind-shared.ts";
import { Succession } from "../../listeners/generations.ts";
import type { Listener } from "../../listeners/types.ts";
import type { Core, Decision, Engine, Frontend, ListenOptions, RequestHead, Room } from "../../seam/engine.ts";

type Server = Bun.Server<Bridge>;

export const bunEngine: Engine = { capabilities: BUN_CAPABILITIES, listen, listenTcp };

// --- internal ---

function listen<C>(options: ListenOptions, core: Core<C>): Listener {
  const { tls, sharing, proxyHeaders, room } = options;
  if (proxyHeaders !== null) throw new Error("Bun.serve can't read PROXY headers");
  const openFirst = () => open(options, core, farewell);
  const first = tls === null && sharing === null ? bindAlone(openFirst) : bindShared(options, openFirst);
  const port = first.listener.port ?? options.port;
  const servers: Succession<Server> = new Succession(first);
  const noLonger = room.served.listens(port);
  return {
    port,
    async close(how, idleMs = 0) {
      if (how === "finish" && sharing !== null) await servers.handOver(idleMs);
      await servers.stop(how === "now");
      noLonger();
    },
    renew(fresh) {
      if (tls === null) throw new Error("a listener without TLS has no certificate");
      servers.renew(() => open({ ...options, port, tls: fresh }, core, farewell));
    },
  };

  function farewell(server: Server, answering: Answering): Answering {
    // Without TLS no newer server of ours can be there.
    if (tls === null && !servers.handed) return answering;
    if (answering instanceof Promise) return answering.then((answer) => servers.farewell(server, answer));
    return servers.farewell(server, answering);
  }
}

type Farewell = (server: Server, answering: Answering) => Answering;

function open<C>(options: ListenOptions, core: Core<C>, farewell: Farewell): Server {
  const { hostname, port, tls, sharing } = options;
  return Bun.serve<Bridge>({
    hostname,
    port,
    // Two processes on one port would share its connections at random, if nothing steered them.
    reusePort: tls !== null || sharing !== null,
    // Silence of any length is allowed: event streams and long polls.
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    ...(tls === null ? {} : { tls }),
    fetch: (request, self) => farewell(self, serve(request, self, options, core)),
    websocket: bridgeHandlers,
    error: () => new Response(null, { status: 500 }),
  });
}

function serve<C>(request: Request, server: Server, via: ListenOptions, core: Core<C>): Answering {
  const head = new BunHead(request, server, via);
  const client = new ServedClient(request, server, via.limits);
  const over = enter(head);
  if (typeof over !== "function") return closing(core.failed(crowdedFailure(over), head, null), client);
  const served = { request, server, head, client };
  const decided = core.decide(head);
  if (!(decided instanceof Promise)) return act(untilOver(decided, over), served, core);
  return decided.then((decision) => {
    untilOver(decision, over);
    if (decision.kind !== "forward" || !request.signal.aborted) return act(decision, served, core);
    // It has left meanwhile: no app is asked for nobody.
    decision.attempt.release();
    return left();
  });
}

/** The request counts as a connection that is in use: idle ones are not told. Gives what ends that, or what is full. */
function enter({ peer, peerPort, room }: BunHead): Full | (() => void) {
  const { connections, served } = room;
  const place = connections.enter(nothing);
  place.from(peer);
  place.busy();
  if (place.full !== null) {
    place.leave();
    return place.full;
  }
  served.busy(peerPort);
  return () => {
    place.leave();
    served.idle(peerPort);
  };
}

/** What is answered here is over at once. */
function untilOver<C>(decision: Decision<C>, over: () => void): Decision<C> {
  if (decision.kind === "forward") decision.attempt.ended = over;
  else over();
  return decision;
}

/** The last answer of its connection. */
function closing(answer: Answer, client: ServedClient): Response {
  const response = toResponse(answer, client);
  response.headers.set("Connection", "close");
  return response;
}

function nothing(): void {}

/** Nobody reads an answer to a client that has left. */
function left(): Response {
  return new Response(null, { status: 499 });
}

/** Undefined when the client has become a WebSocket. */
type Answering = Response | Promise<Response | undefined>;

/** Never throws: Bun's own hook for errors has neither the request nor a log. */
function act<C>(decision: Decision<C>, served: Served, core: Core<C>): Answering {
  try {
    return carryOut(decision, served, core);
  } catch (error) {
    const circuit = decision.kind === "answer" ? null : decision.circuit;
    return toResponse(core.failed(toFailure(error), served.head, circuit), served.client);
  }
}

/** A request, and what there is of it. */
interface Served {
  request: Request;
  server: Server;
  head: BunHead;
  client: ServedClient;
}

function carryOut<C>(decision: Decision<C>, served: Served, core: Core<C>): Answering {
  const { request, head, client } = served;
  switch (decision.kind) {
    case "refuse": {
      const answer = core.failed(decision.failure, head, decision.circuit);
      // Bun takes what follows for a tunnel's, and would keep the connection for ever without a word.
      return head.method === "CONNECT" ? closing(answer, client) : toResponse(answer, client);
    }
    case "answer":
      return toResponse(decision.answer, client);
    case "forward": {
      const failed = (error: unknown) => {
        if (request.signal.aborted) return left();
        return toResponse(core.failed(failureOf(error, core), head, decision.circuit), client);
      };
      if (request.body !== null && request.headers.get("content-length")?.includes(",") === true) {
        // RFC 9110 §8.6: Bun joins lines that say the same, and `fetch` could not send what it made of them.
        decision.attempt.release();
        return failed(new Failure("generic-bad-request", "Content-Length: wanted one line"));
      }
      if (head.upgrade) return bridgeWebSocket(served, decision).catch(failed);
      return forward(request, head.target, decision, failed, client);
    }
  }
}

function failureOf<C>(error: unknown, core: Core<C>): Failure {
  return error instanceof Faulted ? core.upstreamFault(error.fault, error.attempt) : toFailure(error);
}

const NOBODY = { address: "", port: 0 };

/** A head over Bun's request; values are read only when the core asks for them. */
class BunHead implements RequestHead {
  readonly method: string;
  readonly target: string;
  /** `Bun.serve` takes 1.0 and 1.1 and does not say which it was. */
  readonly version = null;
  readonly upgrade: boolean;
  readonly #request: Request;
  readonly #server: Server;
  readonly #via: ListenOptions;
  #from: { address: string; port: number } | null = null;

  constructor(request: Request, server: Server, via: ListenOptions) {
    this.method = request.method;
    this.target = pathAndQuery(request.url);
    this.upgrade = this.method === "GET" && request.headers.get("upgrade")?.toLowerCase() === "websocket";
    this.#request = request;
    this.#server = server;
    this.#via = via;
  }

  /** `Bun.serve` drops the authority of an absolute-form target. */
  get authority(): string {
    return this.#request.headers.get("host") ?? "";
  }

  get peer(): string {
    return this.#client.address;
  }

  get peerPort(): number {
    return this.#client.port;
  }

  get tls(): boolean {
    return this.#via.tls !== null;
  }

  get frontend(): Frontend {
    return this.#via.frontend;
  }

  get room(): Room {
    return this.#via.room;
  }

  header(name: string): string | null {
    return this.#request.headers.get(name);
  }

  /** Of a client that has left nothing is known. */
  get #client(): { address: string; port: number } {
    return (this.#from ??= this.#server.requestIP(this.#request) ?? NOBODY);
  }

  names(): Iterable<string> {
    return this.#request.headers.keys();
  }
}

function toResponse({ status, headers, body }: Answer, client: ServedClient): Response {
  client.hasAnswer();
  return new Response(body === "" ? null : body, { status, headers });
}
