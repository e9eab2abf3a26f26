/**
 * F4: what a worker does at SIGTERM. In process it is told in another way and has no exit code. Side by side with the
 * other lines that wait for the clock, because each needs a worker of its own.
 */
import { expect } from "bun:test";
import { until } from "../support/until.ts";
import { talk, type Talk } from "../support/websocket.ts";
import { begin, dial, finalHead } from "./client.ts";
import { chunk } from "./message.ts";
import type { SlowLine } from "./slow.ts";
import type { Opened, Stage } from "./stage.ts";
import { connectPair } from "./tcp.ts";
import { answer, app } from "./upstreams.ts";
import { CLOSE, connect, TEXT, webSocketApp } from "./websocket-peer.ts";
import { owed } from "../support/owed.ts";

const SOCKETS = 10;

const SECONDS = Math.min(20, Math.ceil(owed(2000) / 1000));

export const STOPS: SlowLine[] = [
  {
    line: "F4",
    sentence: "nothing new is accepted, the node deregisters, requests finish, and it ends with 0 right after",
    options: { worker: { shutdown_timeout: 30 } },
    async work(stage) {
      const answered = Promise.withResolvers<void>();
      const upstream = app(async ({ wire }) => {
        await answered.promise;
        await wire.send(answer(200, [["Content-Type", "text/plain"]], "finished"));
      });
      const to = await stage.open({ upstream: upstream.port });
      const waiting = await begin(to, "/");
      await upstream.request();
      const start = performance.now();
      const stopping = stage.stopWorker();
      await until(() => refuses(to.port));
      await until(() => stage.coordinator.deregistered.length === 1);
      expect(waiting.ended).toBeNull();
      answered.resolve();
      const head = await finalHead(waiting);
      expect((await waiting.body(head)).bytes.toString()).toBe("finished");
      expect(await stopping).toBe(codeOf(stage));
      expect(performance.now() - start).toBeLessThan(owed(5000));
    },
  },
  {
    line: "F4",
    sentence:
      "WebSockets are closed with 1012 one after the other, a request that lasts too long is cut, and it ends with 0",
    options: { worker: { shutdown_timeout: SECONDS } },
    async work(stage) {
      const endless = app(async ({ wire }) => {
        await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        await wire.send(chunk("begun"));
        await wire.end(60_000);
      });
      const to = await stage.open({ upstream: endless.port });
      const client = await begin(to, "/");
      expect(await client.readThrough("begun")).not.toBeNull();
      const chat = webSocketServer();
      const chatting = await stage.open({ upstream: chat.port });
      const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => open(chatting)));
      const start = performance.now();
      const since = () => performance.now() - start;
      const closings = sockets.map(async (socket) => ({ ...(await socket.closed), at: since() }));
      const stopping = stage.stopWorker();
      const closed = await Promise.all(closings);
      expect(closed.map((one) => one.code)).toEqual(closed.map(() => 1012));
      await until(() => chat.codes.length === SOCKETS);
      expect(chat.codes).toEqual(closed.map(() => 1012));
      spread(
        closed.map(({ at }) => at),
        SECONDS * 1000,
      );
      await client.end();
      expect(since()).toBeGreaterThan(SECONDS * 1000 - 100);
      expect(client.text()).not.toEndWith("0\r\n\r\n");
      expect(await stopping).toBe(codeOf(stage));
      expect(since()).toBeLessThan(SECONDS * 1000 + owed(2000));
      await until(() => endless.open() === 0);
      await chat.stop();
    },
  },
  {
    line: "F4",
    sentence: "a WebSocket whose handshake is under way at the stop is closed with 1012 too",
    options: { worker: { shutdown_timeout: SECONDS } },
    async work(stage) {
      const agreed = Promise.withResolvers<void>();
      const slow = app(async ({ head, wire }) => {
        await agreed.promise;
        const key = `${head.get("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
        const accept = new Bun.CryptoHasher("sha1").update(key).digest("base64");
        await wire.send(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
        await wire.end();
      });
      const to = await stage.open({ upstream: slow.port });
      const opening = open(to);
      await slow.request();
      const stopping = stage.stopWorker();
      await until(() => refuses(to.port));
      agreed.resolve();
      expect((await (await opening).closed).code).toBe(1012);
      expect(await stopping).toBe(codeOf(stage));
    },
  },
  {
    line: "F4",
    sentence: "what an app says until it has answered the close frame reaches the client, before 1012",
    options: { worker: { shutdown_timeout: 30 } },
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const peer = await upstream.peer();
      const stopping = stage.stopWorker();
      const asked = await peer.next();
      expect([asked?.opcode, asked?.payload.readUInt16BE()]).toEqual([CLOSE, 1012]);
      // JupyterLab's server keeps what a kernel says from the moment on when it has read the close frame, no earlier.
      for (const word of ["before", "it", "knew"]) await peer.send(TEXT, word);
      await peer.close(1012);
      const told = await client.all();
      expect(told.slice(0, -1).map(({ payload }) => payload.toString())).toEqual(["before", "it", "knew"]);
      expect([told.at(-1)?.opcode, told.at(-1)?.payload.readUInt16BE()]).toEqual([CLOSE, 1012]);
      await client.close(1012);
      expect(await stopping).toBe(codeOf(stage));
    },
  },
  {
    line: "F4",
    sentence: "an app that does not answer the close frame keeps no client from hearing 1012",
    options: { worker: { shutdown_timeout: 60 } },
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      await upstream.peer();
      const start = performance.now();
      const stopping = stage.stopWorker();
      const [told] = await client.all();
      expect([told?.opcode, told?.payload.readUInt16BE()]).toEqual([CLOSE, 1012]);
      await client.close(1012);
      expect(await stopping).toBe(codeOf(stage));
      expect(performance.now() - start).toBeLessThan(owed(20_000));
    },
  },
  {
    line: "F4",
    sentence: "TCP connections may end by themselves, and are cut at the end of shutdown_timeout",
    in: ({ frontend }) => frontend === "port",
    options: { worker: { protocol: "tcp", tcp_auth: "none", shutdown_timeout: SECONDS } },
    async work(stage) {
      const [ends, stays] = [await connectPair(stage), await connectPair(stage)];
      const stopping = stage.stopWorker();
      await until(() => refuses(ends.to.port));
      await ends.client.send("last words");
      expect((await ends.app.read(10)).toString()).toBe("last words");
      ends.client.finish();
      await ends.app.end();
      ends.app.close();
      expect(await ends.client.end()).toBe("end");
      expect(await stays.client.end()).toBe("reset");
      expect(await stays.app.end()).toBe("reset");
      expect(await stopping).toBe(codeOf(stage));
    },
  },
];

// --- internal ---

function codeOf({ shape }: Stage): number | null {
  return shape.place === "spawned" ? 0 : null;
}

/** Not all in one moment: the first half is gone before the last one, and there are pauses between. */
function spread(times: number[], within: number): void {
  const sorted = times.toSorted((a, b) => a - b);
  const [first = 0, last = 0] = [sorted[0], sorted.at(-1)];
  // On a quiet machine within the time itself.
  expect(last).toBeLessThan(within + owed(2000) - 2000);
  expect(last - first).toBeGreaterThan(within / 2);
  const gaps = sorted.slice(1).map((at, before) => at - (sorted[before] ?? 0));
  expect(Math.max(...gaps)).toBeLessThan(within / 2);
}

async function refuses(port: number): Promise<boolean> {
  try {
    (await dial(port)).reset();
    return false;
  } catch {
    return true;
  }
}

async function open(to: Opened): Promise<Talk> {
  const socket = await talk(to.url("/").replace("http", "ws"), { headers: { Host: to.host, Cookie: to.cookie } });
  expect(socket.opened).toBe(true);
  return socket;
}

function webSocketServer() {
  const codes: number[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no", { status: 400 })),
    websocket: { message: () => undefined, close: (_socket, code) => void codes.push(code) },
  });
  return { port: server.port ?? 0, codes, stop: () => server.stop(true) };
}
