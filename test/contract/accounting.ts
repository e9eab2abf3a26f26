/** A1, A2: what the platform reads of circuits' use, in a real Redis. */
import { expect } from "bun:test";
import { until } from "../support/until.ts";
import { ask, begin, dial, finalHead, requestHead } from "./client.ts";
import { chunk } from "./message.ts";
import type { SlowLine } from "./slow.ts";
import type { Opened, Stage } from "./stage.ts";
import { app, echo, listen } from "./upstreams.ts";
import type { Wire } from "./wire.ts";
import { owed } from "../support/owed.ts";

/** A connection between a client and an app, over which either can say something. */
interface Line {
  to: Opened;
  fromClient: () => Promise<void>;
  fromApp: () => Promise<void>;
  /** The client leaves. */
  close: () => void;
}

const TCP = { redis: true, worker: { protocol: "tcp", tcp_auth: "none" } };
/** So many requests that a write for each would be seen, whatever time they take on a busy machine. */
const ENOUGH = 100;
const BYTES_ONLY = { redis: true, sections: { usage: { open_connections: false } } };

export const ACCOUNTING: SlowLine[] = [
  {
    line: "A1",
    sentence: "counts requests and WebSockets, and only those that were let in",
    async work(stage) {
      const to = await stage.open({ upstream: echo().port });
      for (let at = 0; at < 5; at++) await ask(to, "/");
      for (let at = 0; at < 3; at++) await ask(to, "/", { headers: [["Cookie", "none=1"]] });
      await until(async () => (await stage.use(to)).requests === 5);
      const talk = await webSocket(stage);
      await talk.fromClient();
      await talk.fromApp();
      await until(async () => (await stage.use(talk.to)).lastAccess !== null);
      await flushed(stage);
      expect([(await stage.use(to)).requests, (await stage.use(talk.to)).requests]).toEqual([5, 1]);
    },
  },
  {
    line: "A1",
    sentence:
      "moves last_access of circuit and session when bytes move in either direction over HTTP, not while a socket is just open",
    work: async (stage) => movesOnlyWithBytes(stage, await http(stage)),
  },
  {
    line: "A1",
    sentence:
      "moves last_access of circuit and session only when bytes move over a WebSocket, with usage.open_connections = false",
    options: BYTES_ONLY,
    work: async (stage) => movesOnlyWithBytes(stage, await webSocket(stage)),
  },
  {
    line: "A1",
    sentence:
      "counts TCP connections, and moves last_access only when bytes move in either direction, with usage.open_connections = false",
    in: ({ frontend }) => frontend === "port",
    options: { ...TCP, ...BYTES_ONLY },
    async work(stage) {
      const talk = await tcp(stage);
      await movesOnlyWithBytes(stage, talk);
      expect((await stage.use(talk.to)).requests).toBe(1);
    },
  },
  {
    line: "A1",
    sentence: "takes an open WebSocket for use of circuit and session, and a closed one not",
    work: async (stage) => movesWhileOpen(stage, await webSocket(stage)),
  },
  {
    line: "A1",
    sentence: "takes an open TCP connection for use of circuit and session, and a closed one not",
    in: ({ frontend }) => frontend === "port",
    options: TCP,
    work: async (stage) => movesWhileOpen(stage, await tcp(stage)),
  },
  {
    line: "A1",
    sentence: "goes on taking open connections for use when Redis comes back empty",
    options: { redis: true },
    async work(stage) {
      const talk = await webSocket(stage);
      await until(async () => (await stage.use(talk.to)).lastAccess !== null);
      await stage.redis?.stop();
      await stage.redis?.start();
      await until(async () => (await stage.use(talk.to)).lastAccess !== null, 30_000);
      await movesWhileOpen(stage, talk);
    },
  },
  {
    line: "A1",
    sentence: "goes on taking open connections for use while they are drained",
    options: { redis: true, worker: { shutdown_timeout: 12 } },
    in: ({ frontend }) => frontend === "port",
    async work(stage) {
      // The last of several is closed at the end of the time.
      const talks = [await webSocket(stage), await webSocket(stage), await webSocket(stage)];
      const stopping = stage.stopWorker();
      const began = Date.now() / 1000;
      await stopping;
      const uses = await Promise.all(talks.map(async ({ to }) => (await stage.use(to)).lastAccess ?? 0));
      expect(Math.max(...uses) - began).toBeGreaterThan(4);
    },
  },
  {
    line: "A1",
    sentence: "notes the use of every session of a circuit",
    async work(stage) {
      const session_ids = [crypto.randomUUID(), crypto.randomUUID()];
      const to = await stage.open({ upstream: echo().port, circuit: { session_ids } });
      const before = Date.now() / 1000 - 1;
      await ask(to, "/");
      await until(async () => (await stage.use(to)).sessions.every((at) => at !== null && at > before));
    },
  },
  {
    line: "A2",
    sentence: "writes at most once a second, everything in one pipeline",
    async work(stage) {
      const circuits = await Promise.all(Array.from({ length: 4 }, () => stage.open({ upstream: echo().port })));
      const monitor = await dial(stage.redis?.port ?? 0);
      await monitor.send("MONITOR\r\n");
      const began = performance.now();
      let requests = 0;
      for (; performance.now() < began + 4000 || requests <= ENOUGH; requests++)
        await ask(circuits[requests % 4] ?? never(), "/");
      await until(async () => {
        const counts = await Promise.all(circuits.map(async (to) => (await stage.use(to)).requests));
        return counts.reduce((sum, one) => sum + one, 0) === requests;
      });
      const { transactions, loose } = writesIn(monitor.text());
      const seconds = (performance.now() - began) / 1000;
      expect(loose).toBe(0);
      expect(transactions).toBeGreaterThan(2);
      // One more than whole seconds fit between the ends of the time.
      expect(transactions).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
    },
  },
  {
    line: "A2",
    sentence: "loses nothing while Redis is away and delays it, in bounded memory",
    options: { redis: true },
    async work(stage) {
      const to = await stage.open({ upstream: echo().port });
      await ask(to, "/");
      await until(async () => (await stage.use(to)).requests === 1);
      await stage.redis?.stop();
      const before = stage.rss();
      for (let at = 0; at < 3000; at++) await ask(to, "/");
      if (stage.shape.place === "spawned") expect(stage.rss() - before).toBeLessThan(64 * 1024 * 1024);
      const last = Date.now() / 1000;
      await stage.redis?.start();
      // The new Redis is empty: what it has was written after its start.
      const { lastAccess } = await until(async () => {
        const use = await stage.use(to);
        return use.requests >= 3000 && use;
      });
      await flushed(stage);
      expect((await stage.use(to)).requests).toBe(3000);
      expect(lastAccess ?? Infinity).toBeLessThan(last + 1);
    },
  },
  {
    line: "A2",
    sentence: "writes what it has when it stops",
    options: { redis: true },
    async work(stage) {
      const to = await stage.open({ upstream: echo().port });
      await ask(to, "/");
      await until(async () => (await stage.use(to)).requests === 1);
      for (let at = 0; at < 7; at++) await ask(to, "/");
      await stage.stopWorker();
      expect((await stage.use(to)).requests).toBe(8);
    },
  },
];

// --- internal ---

function never(): never {
  throw new Error("cannot be");
}

/** Resolves when the worker has written at least once since: a circuit that is used now is there. */
async function flushed(stage: Stage): Promise<void> {
  const marker = await stage.open(
    stage.coordinator.registrations[0]?.protocol === "tcp" ? tcpEcho() : { upstream: echo().port },
  );
  if (marker.circuit.protocol === "tcp") await (await dial(marker.port)).send("x");
  else await ask(marker, "/");
  await until(async () => (await stage.use(marker)).lastAccess !== null);
}

async function movesOnlyWithBytes(stage: Stage, { to, fromClient, fromApp }: Line): Promise<void> {
  let last = 0;
  const moves = async (what: string) => {
    await until(async () => ((await stage.use(to)).lastAccess ?? 0) > last, 30_000, what);
    // What came in the same moment may be written a second later.
    await flushed(stage);
    const { lastAccess, sessions } = await stage.use(to);
    expect(sessions).toEqual([lastAccess]);
    last = lastAccess ?? 0;
  };
  await fromClient();
  await moves("last_access at the start");
  for (const say of [fromApp, fromClient]) {
    for (let at = 0; at < 2; at++) await flushed(stage);
    expect((await stage.use(to)).lastAccess).toBe(last);
    await say();
    await moves(`last_access to move with bytes ${say === fromApp ? "from the app" : "from the client"}`);
  }
}

/**
 * What the platform's idle checker makes of a session (`NetworkTimeoutIdleChecker.check_idleness` of the Manager 26.9.6): it
 * compares `session.<id>.last_access` with Redis' own time, every 15 s. Its threshold is what an administrator sets; a
 * worker of the original, which marks every 1.5 s, keeps a session with one of three seconds.
 */
const THRESHOLD_S = 3;

async function movesWhileOpen(stage: Stage, { to, close }: Line): Promise<void> {
  await until(async () => (await stage.use(to)).lastAccess !== null);
  const { lastAccess: first } = await stage.use(to);
  let last = first ?? 0;
  let longest = 0;
  const began = performance.now();
  await until(async () => {
    const { lastAccess, sessions } = await stage.use(to);
    if ((lastAccess ?? 0) > last) {
      longest = Math.max(longest, (lastAccess ?? 0) - last);
      last = lastAccess ?? 0;
      // Read after it: the same mark, or the next one.
      expect(sessions[0] ?? 0).toBeGreaterThanOrEqual(last);
    }
    return last - (first ?? 0) > 3 * THRESHOLD_S;
  });
  // A machine that stands still can't mark either.
  const slowness = Math.max(0, (performance.now() - began) / 1000 - (last - (first ?? 0)));
  expect(longest).toBeLessThan(owed(THRESHOLD_S * 1000) / 1000 + slowness);
  close();
  let quiet = 0;
  await until(async () => {
    await flushed(stage);
    const { lastAccess } = await stage.use(to);
    quiet = lastAccess === last ? quiet + 1 : 0;
    last = lastAccess ?? 0;
    return quiet === 4;
  });
}

/** A request and its answer that are both on their way. */
async function http(stage: Stage): Promise<Line> {
  const upstream = app(async ({ wire }) => {
    await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    await wire.end(60_000);
  });
  const to = await stage.open({ upstream: upstream.port });
  const client = await begin(to, "/", { method: "POST", headers: [["Transfer-Encoding", "chunked"]] });
  return {
    to,
    fromClient: () => client.send(chunk("from the client")),
    fromApp: async () => (await upstream.request()).wire.send(chunk("from the app")),
    close: () => client.reset(),
  };
}

async function webSocket(stage: Stage): Promise<Line> {
  const upstream = app(async ({ head, wire }) => {
    const key = `${head.get("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = new Bun.CryptoHasher("sha1").update(key).digest("base64");
    await wire.send(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    await wire.end(60_000);
  });
  const to = await stage.open({ upstream: upstream.port });
  const client = await dial(to.port);
  await client.send(requestHead(to, "/", { headers: HANDSHAKE }));
  await finalHead(client);
  return {
    to,
    // A masked text frame: RFC 6455 §5.2.
    fromClient: () => client.send(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])),
    fromApp: async () => (await upstream.request()).wire.send(Buffer.from([0x81, 0x02, 0x68, 0x69])),
    close: () => client.reset(),
  };
}

const HANDSHAKE: [string, string][] = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
  ["Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="],
  ["Sec-WebSocket-Version", "13"],
];

function tcpEcho() {
  return {
    upstream: listen((wire: Wire) => wire.stream((bytes) => void wire.send(bytes))).port,
    protocol: "tcp" as const,
  };
}

async function tcp(stage: Stage): Promise<Line> {
  const wires: Wire[] = [];
  const upstream = listen((wire) => void wires.push(wire));
  const to = await stage.open({ upstream: upstream.port, protocol: "tcp" });
  const client = await dial(to.port);
  return {
    to,
    fromClient: () => client.send("from the client"),
    fromApp: async () => (await until(() => wires[0])).send("from the app"),
    close: () => client.reset(),
  };
}

/** How often usage was written in what MONITOR has told: in a transaction, and outside of one. */
function writesIn(monitored: string): { transactions: number; loose: number } {
  let transactions = 0;
  let loose = 0;
  let state: "outside" | "inside" | "counted" = "outside";
  for (const [, command = "", key = ""] of monitored.matchAll(/^\+[\d.]+ \[[^\]]*\] "(\w+)"(?: "([^"]*)")?/gm)) {
    if (command.toLowerCase() === "multi") state = "inside";
    if (command.toLowerCase() === "exec") state = "outside";
    if (command.toLowerCase() !== "set" || !/^(circuit|session)\..*\.last_access$/.test(key)) continue;
    if (state === "outside") loose++;
    if (state === "inside") transactions++;
    if (state === "inside") state = "counted";
  }
  return { transactions, loose };
}
