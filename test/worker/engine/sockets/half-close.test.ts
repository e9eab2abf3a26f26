/** Clients that end their half: what they have asked is answered, whole, in order; those that have left are noticed. */
import { expect, test } from "bun:test";
import { socketsEngine } from "../../../../worker/engine/sockets/engine.ts";
import { dial } from "../../../contract/client.ts";
import { answer, app } from "../../../contract/upstreams.ts";
import { atEnd } from "../../../support/at-end.ts";
import { named } from "../../../support/beside.ts";
import { ALONE } from "../../../support/listening.ts";
import { until } from "../../../support/until.ts";
import { carryTo } from "./carrying.ts";

const HEAD = "Host: me\r\n\r\n";

test("after several requests at once are answered each", async () => {
  const upstream = app(({ head, wire }) => wire.send(answer(200, [], head.target)));
  const client = await carryTo(upstream).connect();
  await client.send(`GET /1 HTTP/1.1\r\n${HEAD}GET /2 HTTP/1.1\r\n${HEAD}GET /3 HTTP/1.1\r\n${HEAD}`);
  client.finish();
  const heard = (await client.rest()).toString("latin1").replace("HTTP/1.1 100 Continue\r\n\r\n", "");
  expect(heard.match(/^\/\d/gm)).toEqual(["/1", "/2", "/3"]);
  expect(heard.match(/Connection: close/g)?.length).toBe(1);
  expect(client.ended).toBe("end");
});

test("after several requests that the core answers by itself are answered each", async () => {
  const listener = socketsEngine.listen(ALONE, {
    ...named("me"),
    decide: ({ target: body }) => ({ kind: "answer", answer: { status: 200, headers: [], body } }),
  });
  atEnd(() => listener.close("now"));
  const client = await dial(listener.port);
  const targets = Array.from({ length: 50 }, (_, at) => `/${at}`);
  await client.send(targets.map((target) => `GET ${target} HTTP/1.1\r\n${HEAD}`).join(""));
  client.finish();
  const heard = (await client.rest()).toString("latin1");
  expect([...heard.matchAll(/^\/\d+/gm)].map(([target]) => target)).toEqual(targets);
});

test("while their request's body waits for the app's connection is asked as a whole", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const upstream = app(async ({ wire, body }) => wire.send(answer(200, [], (await body()).bytes)));
  const carrying = carryTo(upstream, { before: promise });
  const client = await carrying.connect();
  await client.send(`POST / HTTP/1.1\r\nContent-Length: 5\r\n${HEAD}hello`);
  client.finish();
  await until(() => carrying.heads.length === 1);
  resolve();
  expect((await client.rest()).toString("latin1")).toEndWith("hello");
});

test("in the middle of their request's body are reset, and the app is told", async () => {
  const upstream = app(({ body }) => body());
  const client = await carryTo(upstream).connect();
  await client.send(`POST / HTTP/1.1\r\nContent-Length: 10\r\n${HEAD}hello`);
  const { wire } = await upstream.request();
  client.finish();
  expect([await client.end(), await wire.end()]).toEqual(["reset", "reset"]);
});

test("while their answer comes get all of it, however slowly they take it", async () => {
  const SIZE = 48 * 1024 * 1024;
  const upstream = app(({ wire }) => wire.send(answer(200, [], Buffer.alloc(SIZE, "x"))));
  const client = await carryTo(upstream).connect();
  await client.send(`GET / HTTP/1.1\r\n${HEAD}`);
  const head = await client.head();
  client.finish();
  client.pause();
  // Longer than silence may be.
  const pausedAt = performance.now();
  await until(() => performance.now() - pausedAt > 300);
  client.resume();
  const { bytes, complete } = await client.body(head);
  expect([bytes.length, complete]).toEqual([SIZE, true]);
});

test("with their request wait for an answer that pauses", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const upstream = app(async ({ wire }) => {
    await promise;
    await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
    const pausedAt = performance.now();
    await until(() => performance.now() - pausedAt > 300);
    await wire.send("b");
  });
  const client = await carryTo(upstream).connect();
  await client.send(`GET / HTTP/1.1\r\n${HEAD}`);
  await upstream.request();
  client.finish();
  await client.readThrough("100 Continue\r\n\r\n");
  resolve();
  expect((await client.rest()).toString("latin1")).toEndWith("\r\n\r\nab");
});

test("when they leave while their answer is silent: the app is told", async () => {
  const upstream = app(({ wire }) => wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
  const carrying = carryTo(upstream);
  const client = await carrying.connect();
  await client.send(`GET / HTTP/1.1\r\n${HEAD}`);
  await client.readThrough("\r\n\r\n");
  client.close();
  const { wire } = await upstream.request();
  expect(await wire.end()).toBe("reset");
  expect(carrying.released()).toBe(1);
});
