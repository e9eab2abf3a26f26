/**
 * The engine on `Bun.serve` and `fetch`: listeners, streaming HTTP. WebSockets are in bun-websocket.ts.
 * Its known deviations from a direct connection are listed in ARCHITECTURE.md.
 */
import { Failure } from "../../shared/failure.ts";
import type { Answer } from "../../shared/page.ts";
import { pathAndQuery } from "../../shared/target.ts";
import { endsHere } from "../headers.ts";
import { bridgeHandlers, bridgeWebSocket, type Bridge } from "./bun-websocket.ts";
import type { Core, Engine, Forward, Frontend, Listener, ListenOptions, RequestHead } from "./engine.ts";

type Server = Bun.Server<Bridge>;

/** What a listener knows of all that comes in through it. */
interface Via {
  frontend: Frontend;
  tls: boolean;
}

export const bunEngine: Engine = { listen };

// --- internal ---

function listen(options: ListenOptions, core: Core): Listener {
  const { hostname, port, tls, frontend } = options;
  const server = Bun.serve<Bridge>({
    hostname,
    port,
    // Two processes on one port would share its connections at random.
    reusePort: false,
    // Silence of any length is allowed: event streams and long polls.
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    ...(tls === null ? {} : { tls }),
    fetch: (request, self) => serve(request, self, { frontend, tls: tls !== null }, core),
    websocket: bridgeHandlers,
    error: () => new Response(null, { status: 500 }),
  });
  return {
    port: server.port ?? port,
    open: () => server.pendingRequests + server.pendingWebSockets,
    close: async (how) => server.stop(how === "now"),
  };
}

async function serve(request: Request, server: Server, via: Via, core: Core): Promise<Response | undefined> {
  const head = headOf(request, server, via);
  const decided = core.decide(head);
  const decision = decided instanceof Promise ? await decided : decided;
  switch (decision.kind) {
    case "refuse":
      return toResponse(core.failed(decision.failure, head));
    case "answer":
      return toResponse(decision.answer);
    case "forward":
      try {
        if (head.upgrade) return await bridgeWebSocket(request, server, head.target, decision);
        return await forward(request, head.target, decision);
      } catch (error) {
        if (request.signal.aborted) return gone();
        const failure = error instanceof Failure ? error : core.upstreamFault(error, decision);
        return toResponse(core.failed(failure, head));
      }
  }
}

/** Nobody reads an answer to a client that has left. */
function gone(): Response {
  return new Response(null, { status: 499 });
}

/** A head over Bun's request; values are read only when the core asks for them. */
function headOf(request: Request, server: Server, { frontend, tls }: Via): RequestHead {
  const { headers, url, method } = request;
  let peer: string | null = null;
  return {
    method,
    target: pathAndQuery(url),
    frontend,
    tls,
    upgrade: method === "GET" && headers.get("upgrade")?.toLowerCase() === "websocket",
    get peer() {
      return (peer ??= server.requestIP(request)?.address ?? "");
    },
    header: (name) => headers.get(name),
    pairs: () => headers,
  };
}

async function forward(request: Request, target: string, to: Forward): Promise<Response> {
  const body = request.body;
  const upstream = await fetch(`http://${bracketed(to.host)}:${to.port}${target}`, {
    method: request.method,
    headers: to.headers,
    body: body === null ? null : metered(body, to.moved),
    redirect: "manual",
    decompress: false,
    signal: request.signal,
    // Bun ends a silent answer after five minutes otherwise.
    timeout: false,
  } as RequestInit);
  to.moved();
  if (upstream.status < 200 || upstream.status > 599) {
    await upstream.body?.cancel();
    throw new Error(`the app answered with status ${upstream.status}, which Bun.serve cannot pass on`);
  }
  const headers = answerHeaders(upstream.headers, to);
  const answer = upstream.body === null ? null : metered(upstream.body, to.moved);
  return new Response(answer, { status: upstream.status, statusText: upstream.statusText, headers });
}

function answerHeaders(from: Headers, to: Forward): Headers {
  const headers = new Headers();
  const dropped = endsHere(from.get("connection"));
  for (const [name, value] of from) {
    if (dropped(name)) continue;
    if (name !== "set-cookie") headers.append(name, value);
    else {
      const line = to.cookie(value);
      if (line !== null) headers.append(name, line);
    }
  }
  for (const [name, value] of to.answerHeaders) headers.append(name, value);
  return headers;
}

/** The same stream; `moved` is told of every chunk, so that a long one does not look like silence. */
function metered(body: ReadableStream<Uint8Array>, moved: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        moved();
        controller.enqueue(value);
      },
      cancel: (why) => reader.cancel(why),
    },
    { highWaterMark: 0 },
  );
}

function toResponse({ status, headers, body }: Answer): Response {
  return new Response(body === "" ? null : body, { status, headers });
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
