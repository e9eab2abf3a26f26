/** Our worker under the Python original's coordinator: from the setup link to the page, and what happens when things go away. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { startApp } from "../support/app.ts";
import { API_SECRET, follow, JWT_SECRET, PERMIT_SECRET } from "../support/manager.ts";
import { routeTo, startOldCoordinator, USER, type OldCoordinator } from "../support/original/coordinator.ts";
import { permitOf } from "../support/original/tokens.ts";
import { startOldWorker } from "../support/original/worker.ts";
import { asHyphens, asOldRow, asToday, type Style } from "../support/original/wire.ts";
import { freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { talk } from "../support/websocket.ts";
import { PORTS, startOurWorker, whole, type OurWorker } from "./our-worker.ts";
import { kernel, page, untilPage } from "./stage.ts";

let redis: RedisServer;
let coordinator: OldCoordinator;
let worker: OurWorker;
let low: number;
let stops: (() => Promise<void>)[];

beforeAll(async () => void (redis = await startRedis()));
afterAll(() => redis.stop());

beforeEach(async () => {
  stops = [];
  low = await freeRange(PORTS);
  coordinator = await startOldCoordinator({ redisPort: redis.port, apiSecret: API_SECRET, jwtSecret: JWT_SECRET });
  stops.push(() => coordinator.stop());
  worker = await ours();
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
});

function ours(): Promise<OurWorker> {
  const started = startOurWorker({ redis, coordinatorUrl: coordinator.url, low });
  stops.push(() => started.stop());
  return whole(started);
}

function app(letter: string): number {
  const { port, stop } = kernel(letter);
  stops.push(stop);
  return port;
}

const open = (letter: string) => coordinator.openApp({ kernel_port: app(letter), open_to_public: true });
const row = () => [...coordinator.state.workers.values()].find(({ authority }) => authority === "worker-1");

describe("our worker", () => {
  test("is a worker like any other: registered once, alive by its heartbeats, gone when it stops", async () => {
    await until(() => (row()?.beats ?? 0) > 2);
    expect(row()).toMatchObject({ id: worker.state().workerId, nodes: 1, status: "ALIVE" });
    expect(worker.state()).toMatchObject({ ready: true, known: true, revision: null });
    await worker.stop();
    expect(row()).toMatchObject({ nodes: 0, status: "TERMINATED" });
  });

  test("serves again what there is when it comes back", async () => {
    const { circuit } = await open("a");
    await worker.stop();
    expect(await page(circuit.port)).toBeNull();
    await ours();
    expect(await page(circuit.port)).toBe("200 a");
  });

  test("serves the circuits that it can read when there is one that it can't, and its log names that", async () => {
    const [good, strange] = [await open("a"), await open("b")];
    await worker.stop();
    coordinator.state.writes = (circuit) =>
      circuit.id === strange.circuit.id ? { ...(asToday(circuit) as object), protocol: "pigeon" } : asToday(circuit);
    const { lines } = await ours();
    expect([await page(good.circuit.port), await page(strange.circuit.port)]).toEqual(["200 a", null]);
    expect(lines).toContainEqual(
      expect.objectContaining({ circuit: strange.circuit.id, reason: expect.stringContaining("/protocol: ") }),
    );
  });
});

describe("an app", () => {
  test.each<[string, Style]>([
    ["in full", asToday],
    ["as an old row, with half of the fields", asOldRow],
    ["with hyphens", asHyphens],
  ])("opens from its setup link to its page when its circuit is written %s", async (_how, style) => {
    coordinator.state.writes = style;
    const { circuit, link } = await coordinator.openApp({ kernel_port: app("a"), redirect: "/lab?x=1" });
    expect(await page(circuit.port)).toBe("401 E20004: Authorization cookie not provided");
    const { cookie, path } = await follow(link);
    const [own, legacy, ...more] = cookie.split("; ");
    expect([path, more]).toEqual(["/lab?x=1", []]);
    expect(legacy).toBe(`appproxy_permit=${permitOf(USER, PERMIT_SECRET)}`);
    for (const one of [own, legacy]) expect(await page(circuit.port, { cookie: one ?? "" })).toBe("200 a");
  });

  test("of a worker that we do not run takes the permits of ours, and the other way round", async () => {
    const from = await freeRange(PORTS);
    const old = await startOldWorker({
      redisPort: redis.port,
      coordinatorUrl: coordinator.url,
      apiSecret: API_SECRET,
      jwtSecret: JWT_SECRET,
      permitSecret: PERMIT_SECRET,
      authority: "old-1",
      ports: [from, from + PORTS - 1],
    });
    stops.push(() => old.stop());
    const mine = await coordinator.openApp({ kernel_port: app("a"), authority: "worker-1" });
    const theirs = await coordinator.openApp({ kernel_port: app("b"), authority: "old-1" });
    const [ourCookie = ""] = (await follow(mine.link)).cookie.split("; ").slice(1);
    const setup = await fetch(theirs.link, { redirect: "manual" });
    const theirCookie = String(setup.headers.getSetCookie()[0]?.split(";")[0]);
    expect(await page(mine.circuit.port, { cookie: theirCookie })).toBe("200 a");
    expect(await page(theirs.circuit.port, { cookie: ourCookie })).toBe("200 b");
    expect(await page(theirs.circuit.port)).toBe("401 E20004: Authorization cookie not provided");
    expect(old.faults).toEqual([]);
  });

  test("has WebSockets", async () => {
    const upstream = startApp();
    stops.push(() => upstream.stop());
    const { circuit, link } = await coordinator.openApp({ kernel_port: upstream.port });
    const { cookie } = await follow(link);
    const socket = await talk(`ws://127.0.0.1:${circuit.port}/ws`, { headers: { cookie } });
    socket.send("hello");
    await until(() => socket.heard.length === 2);
    expect(socket.heard).toEqual(["welcome", "hello"]);
    socket.close();
    await socket.closed;
  });

  test("has a setup link that can be opened again: nothing in it says that it is for one use", async () => {
    const { circuit, link } = await coordinator.openApp({ kernel_port: app("a") });
    const cookies = [(await follow(link)).cookie, (await follow(link)).cookie];
    for (const cookie of cookies) expect(await page(circuit.port, { cookie })).toBe("200 a");
  });

  test("that moves to another kernel is followed there", async () => {
    const { circuit } = await open("a");
    expect(await page(circuit.port)).toBe("200 a");
    await coordinator.updateRoutes(circuit.id, [routeTo(app("b"))]);
    await untilPage(circuit.port, {}, "200 b");
    await coordinator.updateRoutes(circuit.id, [routeTo(app("c"), null)]);
    await untilPage(circuit.port, {}, "200 c");
  });

  test("that is removed has no port any more, and the next one gets it", async () => {
    const { circuit } = await open("a");
    await coordinator.remove(circuit.id);
    await untilPage(circuit.port, {}, null);
    const next = await open("b");
    expect([next.circuit.port, await page(next.circuit.port)]).toEqual([circuit.port, "200 b"]);
  });
});

describe("a coordinator that restarts", () => {
  test("with its database finds the worker as it was", async () => {
    const { circuit } = await open("a");
    await coordinator.stop();
    expect(await page(circuit.port)).toBe("200 a");
    await until(async () => (await worker.health())["status"] === "degraded");
    await coordinator.start("kept");
    await until(async () => (await worker.health())["status"] === "ok");
    expect(await page((await open("b")).circuit.port)).toBe("200 b");
    expect(await page(circuit.port)).toBe("200 a");
  });

  test("empty is registered at anew, and only its circuits are served", async () => {
    const { circuit } = await open("a");
    const { workerId } = worker.state();
    await coordinator.stop();
    await coordinator.start("lost");
    await untilPage(circuit.port, {}, null);
    expect(row()).toMatchObject({ id: worker.state().workerId, nodes: 1, status: "ALIVE" });
    expect(worker.state().workerId).not.toBe(workerId);
    expect(await page((await open("b")).circuit.port)).toBe("200 b");
  });
});

test("a removal that nobody heard, because Redis cut all connections, is made up for when they are back", async () => {
  const [gone, stays] = [await open("a"), await open("b")];
  expect(await coordinator.removeUnheard(gone.circuit.id)).toBe(0);
  await untilPage(gone.circuit.port, {}, null);
  expect(await page(stays.circuit.port)).toBe("200 b");
  await everybodyListens();
  expect(await page((await open("c")).circuit.port)).toBe("200 c");
});

test("the worker is seen in the live data under its name", async () => {
  const live = new Redis(redis.port, "127.0.0.1", { db: 2 });
  stops.push(async () => live.disconnect());
  expect(Number(await live.hget("proxy-worker.last_seen", "worker-1"))).toBeCloseTo(Date.now() / 1000, -1);
});

/** The coordinator and our worker are subscribed. */
async function everybodyListens(): Promise<void> {
  const client = new Redis(redis.port, "127.0.0.1");
  await until(async () => (await client.pubsub("NUMSUB", "events_all-appproxy"))[1] === 2);
  client.disconnect();
}
