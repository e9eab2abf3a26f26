/**
 * The app behind every proxy of the traffic benchmarks, a process of its own: small answers, event streams, a GiB (or
 * the bytes that its argument says) in both directions, WebSockets, and raw TCP. Says its two ports on standard output.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GIB, KIBIBYTE, sample } from "./sample.ts";

/** Frames that one `cork` writes together. */
const FLOOD_BATCH = 256;
const BLOCK = new Uint8Array(1024 * 1024);
const BIG = Number(process.argv[2] ?? GIB);

interface Transfer {
  /** Bytes to come or to go; -1 before it is known which. */
  left: number;
  sending: boolean;
}

interface Talk {
  kind: "echo" | "flood";
  flooding: boolean;
}

const SAMPLE = sample();
const directory = mkdtempSync(join(tmpdir(), "app-proxy-upstream-"));
const big = join(directory, "big");
const file = openSync(big, "w");
// All holes: costs no disk, and the kernel sends it without copying, so that the upstream is not the limit.
ftruncateSync(file, BIG);
closeSync(file);

const http = Bun.serve<Talk>({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  maxRequestBodySize: 2 * GIB,
  routes: { "/1k": new Response(KIBIBYTE, { headers: { "Content-Type": "text/plain" } }) },
  async fetch(request, server) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/events":
        return events(Number(searchParams.get("count")), Number(searchParams.get("every")));
      case "/big":
        return new Response(Bun.file(big), { headers: { "Content-Type": "application/octet-stream" } });
      case "/sample":
        return new Response(SAMPLE);
      case "/upload":
        return Response.json(await receive(request.body, searchParams.has("hash")));
      case "/echo":
      case "/flood": {
        const kind = pathname === "/echo" ? "echo" : "flood";
        if (server.upgrade(request, { data: { kind, flooding: false } })) return undefined;
        return new Response("wanted a WebSocket", { status: 426 });
      }
      default:
        return new Response("no such page", { status: 404 });
    }
  },
  websocket: {
    idleTimeout: 0,
    perMessageDeflate: false,
    message(socket, message) {
      if (socket.data.kind === "echo") return void socket.send(message);
      socket.data.flooding = true;
      flood(socket, String(message));
    },
    drain: (socket) => flood(socket, "x".repeat(64)),
    close: (socket) => void (socket.data.flooding = false),
  },
});

const tcp = Bun.listen<Transfer>({
  hostname: "127.0.0.1",
  port: 0,
  allowHalfOpen: true,
  socket: {
    open: (socket) => void (socket.data = { left: -1, sending: false }),
    data(socket, bytes) {
      const talk = socket.data;
      if (talk.left === -1) {
        // The first byte says what to do: D sends many bytes, U takes as many and says so.
        talk.sending = bytes[0] === 68;
        talk.left = BIG;
        if (talk.sending) return send(socket);
        talk.left += 1;
      }
      talk.left -= bytes.length;
      if (talk.left <= 0 && !talk.sending) socket.end("done");
    },
    drain(socket) {
      if (socket.data.sending) send(socket);
    },
    end: (socket) => void socket.end(),
  },
});

for (const signal of ["SIGTERM", "SIGINT"])
  process.on(signal, () => {
    rmSync(directory, { recursive: true, force: true });
    process.exit(0);
  });
console.log(JSON.stringify({ http: http.port, tcp: tcp.port }));

/** Each event says when it was sent. */
function events(count: number, every: number): Response {
  let timer: ReturnType<typeof setInterval> | undefined;
  const stream = new ReadableStream<string>({
    start(controller) {
      let sent = 0;
      const send = () => {
        controller.enqueue(`data: ${performance.timeOrigin + performance.now()}\n\n`);
        if (++sent < count) return;
        clearInterval(timer);
        controller.close();
      };
      timer = setInterval(send, every);
      send();
    },
    cancel: () => clearInterval(timer),
  });
  return new Response(stream, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store" } });
}

async function receive(body: ReadableStream<Uint8Array> | null, hashed: boolean) {
  const hash = hashed ? new Bun.CryptoHasher("sha256") : null;
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    hash?.update(chunk);
  }
  return { bytes, sha256: hash?.digest("hex") ?? null };
}

/** Sends until the socket is full, and goes on when it has drained. */
function flood(socket: Bun.ServerWebSocket<Talk>, message: string): void {
  if (!socket.data.flooding) return;
  let full = false;
  socket.cork(() => {
    for (let turn = 0; turn < FLOOD_BATCH && !full; turn++) full = socket.send(message) <= 0;
  });
  if (!full) setImmediate(() => flood(socket, message));
}

function send(socket: Bun.Socket<Transfer>): void {
  const talk = socket.data;
  while (talk.left > 0) {
    const wanted = talk.left < BLOCK.length ? BLOCK.subarray(0, talk.left) : BLOCK;
    const written = socket.write(wanted);
    if (written <= 0) return;
    talk.left -= written;
    if (written < wanted.length) return;
  }
  socket.end();
}
