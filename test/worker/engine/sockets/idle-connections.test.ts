/** Idle connections to apps: whose they are, how long they are kept, and what is sent once more over a fresh one. */
import { expect, test } from "bun:test";
import { answer, app, listen, type Upstream } from "../../../contract/upstreams.ts";
import { RouteAttempt } from "../../../../worker/upstreams/attempt.ts";
import { RoutePool, type Upstream as RouteUpstream } from "../../../../worker/upstreams/pool.ts";
import { roomy } from "../../../support/listening.ts";
import { route, untold } from "../../../support/values.ts";
import { until } from "../../../support/until.ts";
import { carryTo, type Carrying } from "./carrying.ts";
import { judged } from "../../../../worker/net/targets.ts";

/** From when on a connection may be one that its app is closing. Milliseconds. */
const FRESH_MS = 1000;

async function ask(carrying: Carrying, method = "GET"): Promise<number> {
  const client = await carrying.connect();
  await client.send(`${method} / HTTP/1.1\r\nHost: me\r\n\r\n`);
  const { status } = await client.head();
  client.close();
  return status;
}

test("are a route's own: at the same address, another route has none of them", async () => {
  const upstream = app(({ wire }) => wire.send(answer(200)));
  const [one, other] = [carryTo(upstream), carryTo(upstream)];
  expect([await ask(one), await ask(one), await ask(other)]).toEqual([200, 200, 200]);
  expect(upstream.wires.length).toBe(2);
});

test("are closed in good order when their route goes, and none is kept for it afterwards", async () => {
  const upstream = app(({ wire }) => wire.send(answer(200)));
  const carrying = carryTo(upstream);
  await ask(carrying);
  await until(() => carrying.route.kept.length === 1);
  carrying.route.remove();
  expect(await upstream.wires[0]?.end()).toBe("end");
  await ask(carrying);
  expect(await upstream.wires[1]?.end()).toBe("end");
});

test.each([
  ["that says so", answer(200, [["Connection", "close"]])],
  ["of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["of HTTP/1.0 that sends chunks", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["that keeps it for a second at most", answer(200, [["Keep-Alive", "timeout=1"]])],
  ["that says more than an answer", Buffer.concat([answer(200), Buffer.from("more")])],
])("to an app %s are closed with FIN", async (_which, bytes) => {
  const upstream = app(({ wire }) => wire.send(bytes));
  expect(await ask(carryTo(upstream))).toBe(200);
  expect(await upstream.wires[0]?.end()).toBe("end");
}); // prettier-ignore

test.each([
  ["kept", answer(200)],
  ["closing", answer(200, [["Connection", "close"]])],
])("count among the files while they are %s", async (_how, bytes) => {
  const room = roomy();
  // It never ends by itself.
  const upstream = listen(async (wire) => {
    await wire.head();
    await wire.send(bytes);
  });
  const carrying = carryTo(upstream, { room });
  await ask(carrying);
  await until(() => room.connections.clients === 0);
  expect(room.connections.files).toBe(1);
  carrying.route.remove();
  await until(() => room.connections.files === 0);
});

test("to an app that says something unasked are closed, and nobody gets it", async () => {
  const upstream = app(({ wire }) => wire.send(answer(200)));
  const carrying = carryTo(upstream);
  await ask(carrying);
  await until(() => carrying.route.kept.length === 1);
  await upstream.wires[0]?.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
  await until(() => carrying.route.kept.length === 0);
  expect([await ask(carrying), upstream.wires.length]).toEqual([200, 2]);
});

for (const [method, times] of [["GET", 2], ["HEAD", 2], ["OPTIONS", 1], ["POST", 1], ["DELETE", 1]] as const) // prettier-ignore
  test(`that have been idle for a second and end with a ${method}: it is asked ${times === 2 ? "once more" : "over a fresh one"}`, async () => {
    const asked: string[] = [];
    const upstream = app(async ({ wire, head }) => {
      const isFirst = upstream.wires.indexOf(wire) === 0;
      asked.push(head.method);
      if (isFirst && asked.length > 1) return wire.reset();
      await wire.send(answer(200));
    });
    const carrying = carryTo(upstream, { repeats: true });
    expect(await ask(carrying, "PROPFIND")).toBe(200);
    await until(() => carrying.route.kept.length === 1);
    const idleSince = performance.now();
    await until(() => performance.now() - idleSince > FRESH_MS + 100);
    expect(await ask(carrying, method)).toBe(200);
    expect([asked, upstream.wires.length]).toEqual([["PROPFIND", ...Array(times).fill(method)], 2]);
  }); // prettier-ignore

test("that were in use just now and end with a GET are no reason to ask again", async () => {
  const upstream = app(({ wire, head }) => (head.target === "/" && upstream.asked.length > 1 ? wire.reset() : wire.send(answer(200)))); // prettier-ignore
  const carrying = carryTo(upstream, { repeats: true });
  expect([await ask(carrying), await ask(carrying)]).toEqual([200, 502]);
  expect(carrying.faults.map(({ progress }) => progress.stale)).toEqual([false]);
});

test("that end after a part of an answer are no reason either", async () => {
  let count = 0;
  const upstream = listen(async (wire) => {
    for (;;) {
      if ((await wire.readThrough("\r\n\r\n")) === null) return;
      if (count++ > 0) return wire.send("HTTP/1.1 20").then(() => wire.reset());
      await wire.send(answer(200));
    }
  });
  const carrying = carryTo(upstream, { repeats: true });
  expect(await ask(carrying)).toBe(200);
  const idleSince = performance.now();
  await until(() => performance.now() - idleSince > FRESH_MS + 100);
  expect(await ask(carrying)).toBe(502);
});

test("that broke with a GET are the last ones it goes over: another route gets it over a connection of its own", async () => {
  const [first, second] = [closingFirst(), closingFirst()];
  const pool = new RoutePool({
    policy: "round_robin",
    now: Date.now,
    random: Math.random,
    targets: judged,
    out: () => undefined,
  });
  pool.set([first, second].map(({ port }) => route({ kernel_host: "127.0.0.1", kernel_port: port })), 0); // prettier-ignore
  const attempt = () => new RouteAttempt(pool, pool.pick() as RouteUpstream, untold, "request");
  const carrying = carryTo(first, { attempt });
  expect([await ask(carrying), await ask(carrying)]).toEqual([200, 200]);
  await until(() => pool.upstreams.every(({ kept }) => kept.length === 1));
  const idleSince = performance.now();
  await until(() => performance.now() - idleSince > FRESH_MS + 100);
  first.refuse();
  expect(await ask(carrying)).toBe(200);
  // Once over the first one's kept connection, once where it was answered; never over the second one's kept one.
  expect([first.asked.length, second.asked.length, second.wires.length]).toEqual([2, 2, 2]);
});

// --- internal ---

/** Answers; but what comes over its first connection after a first request finds that closing. */
function closingFirst(): Upstream {
  const upstream: Upstream = app(async ({ wire }) => {
    const isFirst = wire === upstream.wires[0];
    if (isFirst && upstream.asked.filter((one) => one.wire === wire).length > 1) return wire.reset();
    await wire.send(answer(200));
  });
  return upstream;
}
