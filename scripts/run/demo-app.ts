/**
 * The demo app that the quickstart puts behind the proxy: one page which tries plain HTTP, a stream, a WebSocket,
 * an upload and a download, so that a new user sees that all of it passes through. It asks nobody who they are.
 */
// Bun's types know only the bundled form of an HTML import; as text it is a string.
import pageModule from "./demo-page.html" with { type: "text" };

export interface DemoApp {
  port: number;
  /** Cuts every connection. */
  stop(): Promise<void>;
}

/** Serves the demo app on `hostname`; port 0 lets the system choose one. Throws when the port is taken. */
export function startDemoApp(options: { hostname: string; port: number }): DemoApp {
  const server = Bun.serve({
    ...options,
    // A stream may rest for long; a timeout here would look like a fault of the proxy.
    idleTimeout: 0,
    maxRequestBodySize: MOST_BYTES,
    fetch: answer,
    websocket: {
      message: (socket, message) => void socket.send(message),
    },
    error(fault) {
      process.stderr.write(`demo app: ${fault.stack ?? fault.message}\n`);
      return text(500, "The demo app failed; its log says why.");
    },
  });
  return { port: server.port ?? options.port, stop: () => server.stop(true) };
}

// --- internal ---

const page = pageModule as unknown as string;

/** Both for an upload and for a download; the page knows it too. */
const MOST_BYTES = 1024 ** 3;

const EVENT_EVERY_MS = 500;

const NO_STORE = { "Cache-Control": "no-store" };

async function answer(request: Request, server: Bun.Server<undefined>): Promise<Response | undefined> {
  const { pathname, search, searchParams } = new URL(request.url);
  // Whatever the method is: the answer tells which one arrived.
  if (pathname === "/api/hello") return hello(request, pathname + search);
  switch (`${request.method} ${pathname}`) {
    case "GET /":
    case "HEAD /":
      return new Response(page, { headers: { ...NO_STORE, "Content-Type": "text/html; charset=utf-8" } });
    case "GET /events":
      return events(request.signal);
    case "GET /ws":
      return server.upgrade(request) ? undefined : text(426, "This path speaks WebSocket only.");
    case "POST /upload":
      return upload(request);
    case "GET /download":
      return download(searchParams.get("bytes") ?? "", request.signal);
    default:
      return text(404, `The demo app has nothing at ${request.method} ${pathname}.`);
  }
}

function hello({ method, headers }: Request, path: string): Response {
  return Response.json({ method, path, headers: Object.fromEntries(headers) }, { headers: NO_STORE });
}

function events(gone: AbortSignal): Response {
  let timer: Timer | undefined;
  const stop = () => clearInterval(timer);
  const body = new ReadableStream<string>({
    start(controller) {
      let count = 0;
      const send = () => {
        count++;
        const data = JSON.stringify({ count, time: new Date().toISOString() });
        controller.enqueue(`id: ${count}\ndata: ${data}\n\n`);
      };
      send();
      timer = setInterval(send, EVENT_EVERY_MS);
    },
    cancel: stop,
  });
  // A client that leaves before the stream is read doesn't cancel it.
  gone.addEventListener("abort", stop, { once: true });
  return new Response(body, { headers: { ...NO_STORE, "Content-Type": "text/event-stream" } });
}

/** Hashes what arrives without keeping it. Bun itself refuses too large a body, with or without Content-Length. */
async function upload({ body }: Request): Promise<Response> {
  const hash = new Bun.CryptoHasher("sha256");
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    hash.update(chunk);
  }
  return Response.json({ size, sha256: hash.digest("hex") }, { headers: NO_STORE });
}

async function download(asked: string, gone: AbortSignal): Promise<Response> {
  const bytes = /^\d{1,10}$/.test(asked) ? Number(asked) : Number.NaN;
  if (!(bytes <= MOST_BYTES)) return text(400, `"bytes" must be a whole number from 0 to ${MOST_BYTES}.`);
  const headers = { ...NO_STORE, "Content-Type": "application/octet-stream", "X-SHA256": await sha256(bytes, gone) };
  const source = blocks(bytes);
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = source.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
  });
  return new Response(body, { headers });
}

/** The hash goes ahead of the content in a header, so the content is made twice rather than kept. */
async function sha256(bytes: number, gone: AbortSignal): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  let done = 0;
  for (const block of blocks(bytes)) {
    hash.update(block);
    // A gigabyte takes a second; the other panels' events and echoes go on meanwhile.
    if (++done % 64 === 0) await new Promise(setImmediate);
    if (gone.aborted) break;
  }
  return hash.digest("hex");
}

/** The same noise on every call. Blocks carry their number, so that two of them in the wrong order change the hash. */
function* blocks(bytes: number): Generator<Uint8Array<ArrayBuffer>> {
  for (let start = 0; start < bytes; start += NOISE.length) {
    const block = NOISE.slice();
    new DataView(block.buffer).setUint32(0, start / NOISE.length);
    yield block.subarray(0, bytes - start);
  }
}

const NOISE = noise(64 * 1024);

/** Xorshift: no compression on the way makes it small. */
function noise(length: number): Uint8Array<ArrayBuffer> {
  let state = 0x9e3779b9;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  });
}

function text(status: number, message: string): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { ...NO_STORE, "Content-Type": "text/plain; charset=utf-8" },
  });
}
