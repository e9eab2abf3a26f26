/** What a client's connection may take: each limit, what it is answered with, and what it leaves alone. */
import { describe, expect, test } from "bun:test";
import { answer, app } from "../../../contract/upstreams.ts";
import { chunk } from "../../../contract/message.ts";
import { until } from "../../../support/until.ts";
import { carryTo } from "./carrying.ts";

const SHORT_MS = 300;
const GET = "GET / HTTP/1.1\r\nHost: me\r\n\r\n";

const plain = () => app(({ wire }) => wire.send(answer(200)));

async function passed(ms: number): Promise<void> {
  const began = performance.now();
  await until(() => performance.now() - began > ms);
}

describe("a head", () => {
  test("of as many bytes as may be passes, one more is answered with 431", async () => {
    const head = (length: number) => GET.replace("\r\n\r\n", `\r\nX: ${"x".repeat(length - GET.length - 5)}\r\n\r\n`);
    for (const [length, status] of [[5000, 200], [5001, 431]] as const) {
      const client = await carryTo(plain(), { limits: { head: 5000 } }).connect();
      expect(head(length).length).toBe(length);
      await client.send(head(length));
      expect((await client.head()).status).toBe(status);
    }
  }); // prettier-ignore

  test("of more than 64 KiB passes where it may, in pieces too", async () => {
    const upstream = plain();
    const client = await carryTo(upstream, { limits: { head: 200_000, headMs: 10_000 } }).connect();
    const head = GET.replace("\r\n\r\n", `\r\nX: ${"x".repeat(150_000)}\r\n\r\n`);
    for (let at = 0; at < head.length; at += 10_000) await client.send(head.slice(at, at + 10_000));
    expect((await client.head()).status).toBe(200);
    expect((await upstream.request()).head.get("x")?.length).toBe(150_000);
  });

  test("that does not end in time is answered with 408", async () => {
    const client = await carryTo(plain(), { limits: { headMs: SHORT_MS } }).connect();
    await client.send("GET / HTTP/1.1\r\nHost:");
    expect((await client.head()).status).toBe(408);
    expect(await client.end()).toBe("end");
  });
});

describe("a connection without a request", () => {
  test("is closed in good order: a new one, and one behind an answer", async () => {
    const carrying = carryTo(plain(), { limits: { idleMs: SHORT_MS } });
    const [fresh, used] = [await carrying.connect(), await carrying.connect()];
    await used.send(GET);
    expect((await used.head()).status).toBe(200);
    expect([await fresh.end(), await used.end()]).toEqual(["end", "end"]);
  });

  test("is not one whose answer is silent: an event stream, a long poll", async () => {
    const upstream = app(({ head, wire }) => head.target === "/" && wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")); // prettier-ignore
    const short = { headMs: SHORT_MS, idleMs: SHORT_MS, bodyMs: SHORT_MS, readerMs: SHORT_MS };
    const carrying = carryTo(upstream, { limits: short });
    const [events, poll] = [await carrying.connect(), await carrying.connect()];
    await events.send(GET);
    await poll.send(GET.replace("/", "/poll"));
    await passed(4 * SHORT_MS);
    await upstream.request(1);
    for (const { head, wire } of upstream.asked) await wire.send(head.target === "/" ? chunk("on") : answer(200));
    expect([await events.readThrough("on"), (await poll.head()).status]).toEqual([expect.any(String), 200]);
  });
});

describe("a body", () => {
  const POST = "POST / HTTP/1.1\r\nHost: me\r\nContent-Length: 1000000000\r\n\r\n";

  test("that does not go on while its app waits is answered with 408, and the app is told", async () => {
    const upstream = app(({ body }) => body());
    const client = await carryTo(upstream, { limits: { bodyMs: SHORT_MS } }).connect();
    await client.send(`${POST}some`);
    const { wire } = await upstream.request();
    expect((await client.head()).status).toBe(408);
    expect(await wire.end()).toBe("reset");
  });

  test("waits for an app that takes nothing as long as it likes", async () => {
    const upstream = app(async ({ wire }) => {
      wire.pause();
      await passed(4 * SHORT_MS);
      wire.resume();
      await wire.send(answer(200, [["Connection", "close"]]));
    });
    const client = await carryTo(upstream, { limits: { bodyMs: SHORT_MS } }).connect();
    await client.send(POST);
    // More than the way holds, so that the worker waits for the app.
    void (async () => { for (;;) await client.send(Buffer.alloc(1024 * 1024)); })().catch(() => undefined); // prettier-ignore
    expect((await client.head()).status).toBe(200);
  });
});

describe("a reader", () => {
  test("that takes nothing of what is there is reset, and the app is told", async () => {
    const upstream = app(({ wire }) => wire.send(answer(200, [], Buffer.alloc(96 * 1024 * 1024))).catch(() => undefined));
    const carrying = carryTo(upstream, { limits: { readerMs: SHORT_MS } });
    const client = await carrying.connect();
    client.pause();
    await client.send(GET);
    const { wire } = await upstream.request();
    expect(await wire.end()).toBe("reset");
    client.resume();
    expect(await client.end()).toBe("reset");
    expect(carrying.released()).toBe(1);
  }); // prettier-ignore

  test("that pauses within its last answer, of which the system has all, loses nothing of it", async () => {
    const SIZE = 2 * 1024 * 1024;
    const upstream = app(({ wire }) =>
      wire.send(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(SIZE)}`).then(() => wire.close()),
    );
    const carrying = carryTo(upstream);
    const client = await carrying.connect();
    await client.send(GET);
    const head = await client.head();
    client.pause();
    await until(() => carrying.released() === 1);
    // Longer than a client that still sends is listened to.
    await passed(4000);
    client.resume();
    const { bytes, complete } = await client.body(head);
    expect([bytes.length, complete]).toEqual([SIZE, true]);
  });

  test("of HTTP/1.0 that does not read gets thousands of small chunks whole, and in order", async () => {
    const BIG = 24 * 1024 * 1024;
    const SMALL = 40_000;
    const chunks = Buffer.concat([Buffer.from(`${BIG.toString(16)}\r\n`), Buffer.alloc(BIG, "b"), Buffer.from(`\r\n${"1\r\ns\r\n".repeat(SMALL)}0\r\n\r\n`)]); // prettier-ignore
    const upstream = app(async ({ wire }) => {
      await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      await wire.send(chunks);
    });
    const client = await carryTo(upstream).connect();
    await client.send(GET.replace("1.1", "1.0"));
    const head = await client.head();
    client.pause();
    await passed(500);
    client.resume();
    const { bytes } = await client.body(head);
    expect([bytes.length, bytes.toString("latin1", BIG).replaceAll("s", "")]).toEqual([BIG + SMALL, ""]);
  });

  test("that is slow stays", async () => {
    const SIZE = 24 * 1024 * 1024;
    const upstream = app(({ wire }) => wire.send(answer(200, [], Buffer.alloc(SIZE))));
    const client = await carryTo(upstream, { limits: { readerMs: 4 * SHORT_MS } }).connect();
    await client.send(GET);
    const head = await client.head();
    for (let at = 0; at < 8; at++) {
      const enough = client.received + 1024 * 1024;
      client.resume();
      await client.wait(() => client.received >= enough, "a gulp");
      client.pause();
      await passed(SHORT_MS);
    }
    client.resume();
    expect((await client.body(head)).complete).toBe(true);
  });
});
