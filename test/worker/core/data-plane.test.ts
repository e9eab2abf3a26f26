/** What a worker owes to both sides of a circuit when one of them misbehaves: aborts, truncation, refusal, back-pressure. Real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startApp, type App } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import type { Entered } from "../../support/manager.ts";
import { rawRequest, rawServer, type RawServer } from "../../support/raw.ts";
import { until } from "../../support/until.ts";
import { talk } from "../../support/websocket.ts";
import { atEnd } from "../../support/at-end.ts";

let cluster: Cluster;
let app: App;

beforeAll(async () => {
  cluster = await startCluster({ ports: 64 });
  app = startApp();
});

afterAll(async () => {
  await cluster.stop();
  await app.stop();
});

const enter = (port: number, wish: Record<string, unknown> = {}): Promise<Entered> =>
  cluster.manager.enter({ kernel_port: port }, wish);

/** A circuit whose app has answered once and is gone: one that has never answered may be starting. */
async function behindDead(): Promise<Entered> {
  const raw = await behindRaw((server) => server.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "end"));
  await fetch(raw.origin, { headers: { cookie: raw.cookie } });
  await raw.stop();
  return raw;
}

async function behindRaw(answer: (server: RawServer) => void): Promise<RawServer & Entered> {
  const server = await rawServer(answer);
  return Object.assign(server, await enter(server.port));
}

describe("an app that", () => {
  test("listens no more gives 502 with its name and an error id", async () => {
    const { origin, cookie } = await behindDead();
    const page = await fetch(origin, { headers: { cookie, accept: "text/html" } });
    const html = await page.text();
    expect(page.status).toBe(502);
    expect(html).toContain("Cannot connect to Backend.AI kernel.");
    expect(html).toContain("jupyter");
    expect(html).toMatch(/Error id: [0-9a-f-]{36}/);
    expect(html).not.toContain("127.0.0.1");
    const problem = await fetch(origin, { headers: { cookie, accept: "application/json" } });
    expect(await problem.json()).toMatchObject({ error_code: "kernel_access_unreachable" });
  });

  test("dies before its head is done gives 502", async () => {
    const raw = await behindRaw((server) => server.reply("HTTP/1.1 200 OK\r\nX-Half", "end"));
    atEnd(() => raw.stop());
    expect((await fetch(raw.origin, { headers: { cookie: raw.cookie } })).status).toBe(502);
  });

  test.each([
    ["with Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
  ])("ends its body early %s gives an aborted transfer, never a complete one", async (_how, bytes) => {
    const raw = await behindRaw((server) => server.reply(bytes, "end"));
    atEnd(() => raw.stop());
    const read = async () => (await fetch(raw.origin, { headers: { cookie: raw.cookie } })).text();
    // Before the first byte has gone out, the fault can still be told.
    expect(await read().catch(() => "aborted")).toMatch(/^aborted$|"title":"Cannot connect/);
  });

  test("sends compressed bytes: they pass as they are", async () => {
    const body = Bun.gzipSync(Buffer.from("hello ".repeat(100)));
    const raw = await behindRaw((server) => server.reply(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`), body]))); // prettier-ignore
    const answer = await fetch(raw.origin, { headers: { cookie: raw.cookie }, decompress: false });
    atEnd(() => raw.stop());
    expect(answer.headers.get("content-encoding")).toBe("gzip");
    expect(Buffer.from(await answer.arrayBuffer()).equals(Buffer.from(body))).toBe(true);
  });

  test("speaks of one connection in its head: that ends at the worker", async () => {
    const raw = await behindRaw((server) => server.reply("HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok")); // prettier-ignore
    const { headers } = await fetch(raw.origin, { headers: { cookie: raw.cookie } });
    atEnd(() => raw.stop());
    expect([headers.get("x-hop"), headers.get("keep-alive"), headers.get("x-end")]).toEqual([null, null, "2"]);
  });
});

describe("a client that leaves", () => {
  test("while it waits for an answer ends the app's request", async () => {
    const raw = await behindRaw(() => undefined);
    atEnd(() => raw.stop());
    const control = new AbortController();
    const asked = fetch(raw.origin, { headers: { cookie: raw.cookie }, signal: control.signal }).catch(() => "left");
    await until(() => raw.received().includes("\r\n\r\n"));
    control.abort();
    expect(await asked).toBe("left");
    await until(() => raw.open() === 0);
  });

  test("in the middle of an answer ends it", async () => {
    const raw = await behindRaw((server) =>
      server.reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    );
    atEnd(() => raw.stop());
    const control = new AbortController();
    const answer = await fetch(raw.origin, { headers: { cookie: raw.cookie }, signal: control.signal });
    await answer.body?.getReader().read();
    control.abort();
    await until(() => raw.open() === 0);
  });
});

describe("a request", () => {
  test.each([
    "GET /a/b HTTP/1.0\r\n",
    "GET /a/b HTTP/1.1\r\nHost: a b\r\n",
    "GET /a/b HTTP/1.1\r\nHost: [\r\n",
    "GET /a/b HTTP/1.1\r\nHost: a, b\r\n",
  ])("whose Host is no host never reaches the app: %j", async (head) => {
    const { origin, cookie } = await enter(app.port);
    const before = app.requests.length;
    const said = await rawRequest(
      Number(new URL(origin).port),
      `${head}Cookie: ${cookie}\r\nConnection: close\r\n\r\n`,
    );
    expect(said).toMatch(/^HTTP\/1.1 400/);
    expect(app.requests.length).toBe(before);
  });

  test("whose target is more than printable ASCII never reaches the app, whatever its Host", async () => {
    const { origin, cookie } = await enter(app.port);
    const before = app.requests.length;
    // Cut to one byte each, these characters would be a space and the end of a line.
    const target = "/x\u0120HTTP/1.1\u010d\u010aX-Forwarded-For:\u012010.0.0.1";
    const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"; // prettier-ignore
    for (const extra of [upgrade, "Connection: close\r\n"]) {
      const socket = rawRequest(
        Number(new URL(origin).port),
        `GET ${target} HTTP/1.1\r\nHost: 1.2.3.4.5\r\nCookie: ${cookie}\r\n${extra}\r\n`,
        true,
      );
      expect(await socket).toMatch(/^HTTP\/1.1 400/);
    }
    expect(app.requests.length).toBe(before);
  });

  test("with an odd Host tells neither API anything of its insides", async () => {
    for (const port of [cluster.coordinator.address.port, cluster.worker.apiPort]) {
      const said = await rawRequest(port, "GET /nope HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n");
      expect(said).toMatch(/^HTTP\/1.1 4\d\d/);
      expect(said.length).toBeLessThan(2000);
    }
  });

  test("that names Host in Connection keeps it", async () => {
    const { origin, cookie } = await enter(app.port);
    const { host, port } = new URL(origin);
    const said = await rawRequest(
      Number(port),
      `GET / HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nConnection: close, host\r\n\r\n`,
    );
    expect(said).toContain(`"host":"${host}"`);
  });
});

describe("headers", () => {
  test("of a client that invents where it comes from are rebuilt", async () => {
    const { origin, cookie } = await enter(app.port);
    const forged = {
      "X-Forwarded-For": "6.6.6.6",
      "X-Forwarded-Host": "evil.example",
      "X-Forwarded-Proto": "https",
      Forwarded: "for=6.6.6.6",
    };
    const answer = await fetch(origin, {
      headers: { cookie, ...forged, Connection: "X-Gone", "X-Gone": "1", "X-Kept": "1" },
    });
    const { headers } = (await answer.json()) as { headers: Record<string, string> };
    const { host, port } = new URL(origin);
    expect(headers).toMatchObject({
      host,
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-host": host,
      "x-forwarded-proto": "http",
      "x-forwarded-port": port,
      forwarded: `for=127.0.0.1;proto=http;host=${host}`,
      "x-kept": "1",
    });
    expect(headers["x-gone"]).toBeUndefined();
  });

  test("for RStudio tell it where it is", async () => {
    const { origin, cookie } = await enter(app.port, { app: "rstudio" });
    const { headers } = (await (await fetch(`${origin}/p/a?x=1`, { headers: { cookie } })).json()) as {
      headers: Record<string, string>;
    };
    expect([headers["x-rstudio-proto"], headers["x-rstudio-request"]]).toEqual(["http", `${origin}/p/a`]);
  });
});

describe("a WebSocket", () => {
  test("to an app that listens no more is refused before the client is upgraded", async () => {
    const { origin, cookie } = await behindDead();
    const answer = await fetch(origin, { headers: { cookie, connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==", "sec-websocket-version": "13" } }); // prettier-ignore
    expect(answer.status).toBe(502);
  });

  test.each([
    [403, 403],
    [404, 404],
    [500, 500],
  ])("that the app answers with %d is answered with %d", async (status, seen) => {
    const raw = await behindRaw((server) => server.reply(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`));
    atEnd(() => raw.stop());
    const answer = await fetch(raw.origin, { headers: { cookie: raw.cookie, connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==", "sec-websocket-version": "13" } }); // prettier-ignore
    expect(answer.status).toBe(seen);
  });

  test("of a client that closes is closed at the app with its code", async () => {
    const closed = Promise.withResolvers<unknown[]>();
    const upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: { message: () => undefined, close: (_socket, code, reason) => closed.resolve([code, reason]) },
    });
    atEnd(() => upstream.stop(true));
    const { origin, cookie } = await enter(upstream.port ?? 0);
    const socket = await talk(origin.replace("http", "ws"), { headers: { cookie } });
    socket.close(3001, "enough");
    expect(await closed.promise).toEqual([3001, "enough"]);
  });

  test("whose app dies drops", async () => {
    const upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: { message: (socket) => socket.terminate() },
    });
    atEnd(() => upstream.stop(true));
    const { origin, cookie } = await enter(upstream.port ?? 0);
    const socket = await talk(origin.replace("http", "ws"), { headers: { cookie } });
    socket.send("die");
    expect((await socket.closed).code).toBe(1006);
  });

  test("whose client does not read costs little, and loses nothing when it reads again", async () => {
    const total = 128;
    const message = Buffer.alloc(1024 * 1024, 7);
    let sent = 0;
    const upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: { open: (socket) => pump(socket), drain: (socket) => pump(socket), message: () => undefined },
    });
    atEnd(() => upstream.stop(true));
    function pump(socket: Bun.ServerWebSocket<unknown>): void {
      while (sent < total && socket.getBufferedAmount() === 0) {
        message.writeUInt32BE(sent++, 0);
        socket.send(message);
      }
    }
    const { origin, cookie } = await enter(upstream.port ?? 0);
    const client = new WebSocket(origin.replace("http", "ws"), { headers: { cookie } });
    atEnd(() => client.close());
    client.binaryType = "nodebuffer";
    const order: number[] = [];
    client.onmessage = ({ data }) => order.push((data as Buffer).readUInt32BE(0));
    await new Promise((resolve) => (client.onopen = resolve));
    client.pause();
    const before = process.memoryUsage.rss();
    await steady(() => sent);
    // What has left the app stands in the kernel's buffers and at most about a megabyte in the worker.
    expect(sent).toBeLessThan(total);
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    client.resume();
    await until(() => order.length === total);
    expect(order).toEqual(Array.from({ length: total }, (_, at) => at));
  });

  test("whose app does not read holds the client back, and loses nothing when it reads again", async () => {
    let server: Bun.ServerWebSocket<unknown> | null = null;
    const order: number[] = [];
    const upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: {
        open(socket) {
          server = socket;
          socket.pause();
        },
        message: (_socket, message) => void order.push((message as Buffer).readUInt32BE(0)),
      },
    });
    atEnd(() => upstream.stop(true));
    const { origin, cookie } = await enter(upstream.port ?? 0);
    const client = new WebSocket(origin.replace("http", "ws"), { headers: { cookie } });
    atEnd(() => client.close());
    await new Promise((resolve) => (client.onopen = resolve));
    const total = 128;
    const message = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < total; at++) {
      message.writeUInt32BE(at, 0);
      client.send(message);
    }
    await steady(() => client.bufferedAmount);
    expect(client.bufferedAmount).toBeGreaterThan(32 * 1024 * 1024);
    (server as Bun.ServerWebSocket<unknown> | null)?.resume();
    await until(() => order.length === total);
    expect(order).toEqual(Array.from({ length: total }, (_, at) => at));
  });
});

/** Resolves when a value has not changed over twenty looks. */
async function steady(value: () => number): Promise<void> {
  let last = -1;
  let same = 0;
  await until(() => {
    const now = value();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 20;
  });
}
