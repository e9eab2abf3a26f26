/** Unused circuits are collected, used ones and those of which nothing is known are not. Real SQLite and Redis; the clocks are the test's. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { Redis } from "ioredis";
import { createAcknowledgements } from "../../../coordinator/delivery/acknowledgements.ts";
import { createCollector, type Collector } from "../../../coordinator/circuits/collector.ts";
import { getCircuit } from "../../../coordinator/store/circuit-queries.ts";
import { insertCircuit, touchAll } from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { circuits, workers } from "../../../coordinator/store/schema.ts";
import { createCommit } from "../../../coordinator/delivery/commit.ts";
import { createNodeRevisions } from "../../../coordinator/delivery/node-revisions.ts";
import { createPublisher } from "../../../coordinator/delivery/publisher.ts";
import { upsertWorker } from "../../../coordinator/store/workers.ts";
import { renewLease } from "../../../coordinator/store/nodes.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { redisMessengers, type Messengers } from "../../../shared/redis/messengers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { API_KEY, coordinatorConfig, WORKER } from "../../support/values.ts";
import { atEnd } from "../../support/at-end.ts";
import { read, write } from "../../support/store.ts";

/** Seconds. */
const TIMEOUT = 3600;
/** A pass is made every ten seconds. */
const PASS_MS = 10_000;

let redis: RedisServer;
let directory: string;
let database: SqliteStore;
let messengers: Messengers;
let now: number;
let steady: number;
let collector: Collector;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-collector-"));
  database = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  now = NOW;
  steady = 0;
  write(database, (tx) => upsertWorker(tx, portRegistration("w"), WORKER, NOW));
  const address = { host: "127.0.0.1", port: redis.port };
  const settings = { addr: address, sentinel: null, service_name: "mymaster", password: "" };
  messengers = redisMessengers(settings, createCodec(API_KEY, false), silentLog());
  await until(() => messengers.live.healthy() && messengers.bus.healthy());
  collector = start();
});

afterEach(async () => {
  await messengers.close();
  database.close();
  rmSync(directory, { recursive: true, force: true });
});

/** What a coordinator that starts has. */
function start(): Collector {
  const config = coordinatorConfig(`[proxy_coordinator]\nunused_circuit_collection_timeout = ${TIMEOUT}\n`).values;
  const deps = { config, database, ...messengers, log: silentLog(), now: () => now, newId: () => crypto.randomUUID() };
  const services = { publisher: createPublisher(deps), acknowledgements: createAcknowledgements(deps), nodeRevisions: createNodeRevisions(deps) }; // prettier-ignore
  return createCollector(deps, { commit: createCommit(deps, services), steady: () => steady });
}

let port = 10_205;

function open(over: Parameters<typeof newCircuit>[0] = {}): string {
  const fresh = newCircuit({
    port: (port = port === 10_214 ? 10_205 : port + 1),
    usedAt: now,
    createdAt: now,
    ...over,
  });
  return write(database, (tx) => insertCircuit(tx, fresh), { now }).id;
}

const isThere = (id: string) => read(database, (q) => getCircuit(q, id)) !== undefined;

/** Bytes move, by a clock of the worker's that may be wrong. */
const use = (id: string, at = now) =>
  messengers.live.record({ circuits: new Map([[id, { requests: 1, lastAccess: at / 1000 }]]), sessions: new Map() });

/** Time passes, with passes as they come. `each` happens before every pass. */
async function pass(seconds: number, each: () => unknown = () => undefined): Promise<void> {
  // Long times in fewer passes: what counts is what is seen at them.
  const step = Math.max(PASS_MS, (seconds * 1000) / 60);
  for (let passed = 0; passed < seconds * 1000; passed += step) {
    now += step;
    steady += step;
    await each();
    await collector.pass();
  }
}

test("a circuit goes when it was unused for the whole time, and not before, and its worker is told", async () => {
  const id = open();
  await use(id);
  const heard: AppProxyEvent[] = [];
  await messengers.bus.subscribe({ event: (event) => heard.push(event), unknown: () => undefined });
  await pass(TIMEOUT);
  expect(isThere(id)).toBe(true);
  await pass(600);
  expect([isThere(id), collector.collected()]).toEqual([false, 1]);
  await until(() => heard.some(({ name }) => name === "appproxy_circuit_removed_event"));
});

test("a circuit that nobody ever opened goes too, of every protocol", async () => {
  const ids = [open(), open({ protocol: "tcp" })];
  await pass(TIMEOUT + 600);
  expect(ids.map(isThere)).toEqual([false, false]);
});

test("a circuit that is used stays, even when the worker's clock is hours behind", async () => {
  const [right, late] = [open(), open()];
  let turn = 0;
  await pass(3 * TIMEOUT, async () => {
    // Every ten minutes or so.
    if (turn++ % 5 > 0) return;
    await use(right);
    await use(late, now - 3 * TIMEOUT * 1000);
  });
  expect([right, late].map(isThere)).toEqual([true, true]);
});

test("a circuit that is asked for again stays, though nobody has used it yet", async () => {
  const id = open();
  await pass(TIMEOUT - 60);
  write(database, (tx) => touchAll(tx, [id]), { now });
  await pass(TIMEOUT - 60);
  expect(isThere(id)).toBe(true);
});

test("model services stay for ever", async () => {
  const id = open({ appMode: "inference", endpointId: crypto.randomUUID() });
  await pass(5 * TIMEOUT);
  expect(isThere(id)).toBe(true);
});

test("what Redis has lost is unknown: the time begins anew", async () => {
  const id = open();
  await use(id);
  await pass(TIMEOUT - 60);
  const client = new Redis(redis.port, "127.0.0.1");
  await client.flushall();
  client.disconnect();
  await pass(TIMEOUT - 60);
  expect(isThere(id)).toBe(true);
  await pass(600);
  expect(isThere(id)).toBe(false);
});

test("while Redis is away nothing goes, and when it is back without its data the time begins anew", async () => {
  const id = open();
  await use(id);
  await pass(TIMEOUT - 60);
  atEnd(() => redis.start());
  await redis.stop();
  await until(() => !messengers.live.healthy());
  await pass(2 * TIMEOUT);
  expect([isThere(id), collector.knows()]).toEqual([true, false]);
  await redis.start();
  await until(() => messengers.live.healthy());
  await pass(TIMEOUT - 60);
  expect(collector.knows()).toBe(true);
  expect(isThere(id)).toBe(true);
  await pass(600);
  expect(isThere(id)).toBe(false);
});

test("what is idle is watched once more when Redis answers again: workers may have had something to write", async () => {
  const id = open();
  await use(id);
  await pass(60);
  // Redis was away for long.
  collector.forget(false);
  now += 2 * TIMEOUT * 1000;
  steady += 2 * TIMEOUT * 1000;
  await collector.pass();
  expect(isThere(id)).toBe(true);
  // The worker writes what it had kept.
  await use(id, now - 5000);
  await pass(TIMEOUT - 60);
  expect(isThere(id)).toBe(true);
});

test.each([
  ["is lost", () => database.db.update(workers).set({ status: "LOST" }).run(), () => database.db.update(workers).set({ status: "ALIVE" }).run()],
  ["has use that it can't write", () => says(true), () => says(false)],
])("a circuit whose worker %s may be in use", async (_what, begin, end) => {
  const id = open();
  await use(id);
  begin();
  await pass(2 * TIMEOUT);
  expect(isThere(id)).toBe(true);
  end();
  await pass(60);
  expect(isThere(id)).toBe(false);
}); // prettier-ignore

/** A node's heartbeat. */
function says(usageDelayed: boolean): void {
  const said = { revision: 1, agrees: true, usageDelayed, routeReports: null, jwtKeys: null };
  write(database, (tx) => renewLease(tx, { workerId: WORKER, nodeId: "n1" }, said, NOW + 100 * TIMEOUT * 1000), {
    now,
  });
}

test("a clock that is set ahead makes nothing idle", async () => {
  const ids = [open(), open()];
  await Promise.all(ids.map((id) => use(id)));
  await pass(60);
  now += 10 * TIMEOUT * 1000;
  collector.forget(true);
  await pass(TIMEOUT - 60);
  expect(ids.map(isThere)).toEqual([true, true]);
  await pass(600);
  expect(ids.map(isThere)).toEqual([false, false]);
});

test("after a restart what is idle still goes, and what was used while nobody looked stays", async () => {
  const [idle, used] = [open(), open()];
  await Promise.all([use(idle), use(used)]);
  await pass(60);
  now += 1.2 * TIMEOUT * 1000;
  // Its worker's clock is hours behind: what counts is that Redis says something else.
  await use(used, now - 9 * TIMEOUT * 1000);
  collector = start();
  await pass(120);
  expect([idle, used].map(isThere)).toEqual([false, true]);
});

test("a circuit is not collected that somebody has asked for since it was read", async () => {
  const id = open();
  await use(id);
  now += 2 * TIMEOUT * 1000;
  const { live } = messengers;
  let isAsked = false;
  const askedFor: typeof live.lastAccesses = async (ids) => {
    const told = await live.lastAccesses(ids);
    if (isAsked) write(database, (tx) => touchAll(tx, [id]), { now });
    return told;
  };
  messengers = { ...messengers, live: { ...live, lastAccesses: askedFor } };
  collector = start();
  await collector.pass();
  isAsked = true;
  now += 120_000;
  steady += 120_000;
  await collector.pass();
  expect(isThere(id)).toBe(true);
});

test("more circuits than a page has are all looked at", async () => {
  write(database, (tx) => upsertWorker(tx, portRegistration("wide", { port_range: [20_000, 22_000] }), "wide", NOW));
  const ids = write(database, (tx) =>
    Array.from({ length: 1100 }, (_, at) => {
      const fresh = newCircuit({ workerId: "wide", port: 20_000 + at, usedAt: now });
      return insertCircuit(tx, fresh);
    }),
  );
  await collector.pass();
  now += 2 * TIMEOUT * 1000;
  steady += 2 * TIMEOUT * 1000;
  await collector.pass();
  expect(collector.collected()).toBe(ids.length);
  expect(database.db.select().from(circuits).where(eq(circuits.workerId, "wide")).all()).toEqual([]);
});
