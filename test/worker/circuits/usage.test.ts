/** Accounting of use: gathered, written at most once a second, never lost while Redis is away. Real Redis. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { pino } from "pino";
import type { LiveData } from "../../../shared/live/live.ts";
import { createRedisLive, LIVE_DB } from "../../../shared/live/redis.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { connectRedis } from "../../../shared/redis/redis.ts";
import { createUsage, type Usage } from "../../../worker/circuits/usage.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { circuit, CIRCUIT, SESSION } from "../../support/values.ts";
import { owed } from "../../support/owed.ts";

const OTHER = "c1c1c1c1-0000-4000-8000-000000000002";
const SECOND = "5e5e5e5e-0000-4000-8000-000000000002";
const mine = circuit();
const other = circuit({ id: OTHER, session_ids: [SECOND] });

let redis: RedisServer;
let client: Redis;
let live: LiveData;
let usage: Usage;
/** Epoch seconds. */
let now: number;
let said: string[];

beforeEach(async () => {
  redis = await startRedis();
  client = new Redis(redis.port, "127.0.0.1", { db: 2 });
  client.on("error", () => undefined);
  const addr = { host: "127.0.0.1", port: redis.port };
  const settings = { addr, sentinel: null, service_name: "", password: "" };
  live = createRedisLive(connectRedis(settings, LIVE_DB, "live data", silentLog()));
  await until(() => live.healthy());
  said = [];
  now = 1_787_000_000;
  const log = pino({ level: "debug" }, { write: (line) => said.push(line) });
  usage = createUsage(live, log, () => now * 1000, { openConnections: true });
});

afterEach(async () => {
  await usage.stop();
  await live.close();
  client.disconnect();
  await redis.stop();
});

async function written(): Promise<Record<string, string | null>> {
  const keys = (await client.keys("*")).toSorted();
  return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await client.get(key)] as const)));
}

const requests = async (id = CIRCUIT) => Number(await client.get(`circuit.${id}.requests`));
const keptForLater = () => said.filter((line) => line.includes("usage is kept in memory")).length;
const batches = async () => Number(/cmdstat_exec:calls=(\d+)/.exec(await client.info("commandstats"))?.[1] ?? 0);

describe("use of circuits", () => {
  test("is written at most once a second, in one transaction, however much there is", async () => {
    const start = performance.now();
    let noted = 0;
    await until(async () => {
      for (let at = 0; at < 1000; at++) usage.of(mine).request();
      usage.of(other).moved();
      noted += 1000;
      return (await batches()) >= 2;
    });
    expect(performance.now() - start).toBeGreaterThan(1900);
    await usage.stop();
    expect([await batches(), await requests()]).toEqual([3, noted]);
  });

  test("is written with its sessions when it stops, and nothing after that", async () => {
    usage.of(mine).request();
    usage.of(mine).request();
    now += 1.5;
    usage.of(mine).moved();
    now += 1;
    usage.of(other).moved();
    await usage.stop();
    expect(await written()).toEqual({
      [`circuit.${CIRCUIT}.last_access`]: "1787000001.500",
      [`circuit.${CIRCUIT}.requests`]: "2",
      [`circuit.${OTHER}.last_access`]: "1787000002.500",
      [`session.${SESSION}.last_access`]: "1787000001.500",
      [`session.${SECOND}.last_access`]: "1787000002.500",
    });
    await usage.stop();
    expect([await batches(), await requests()]).toEqual([1, 2]);
  });

  test("of a circuit with several sessions counts for all of them", async () => {
    usage.of(circuit({ session_ids: [SESSION, SECOND] })).request();
    await usage.stop();
    expect(await client.mget(`session.${SESSION}.last_access`, `session.${SECOND}.last_access`)).toEqual([
      "1787000000.000",
      "1787000000.000",
    ]);
  });

  test("that did not happen is not written", async () => {
    usage.of(mine).request();
    await until(async () => (await batches()) === 1);
    await usage.stop();
    expect(await batches()).toBe(1);
  });
});

describe("open connections", () => {
  test("are use of their circuit and session, once a circuit, until the last of them is closed", async () => {
    const use = usage.of(mine);
    const closings = Array.from({ length: 10_000 }, () => use.opened());
    const closeOther = usage.of(other).opened();
    const marked = async (at: number) => {
      now = at;
      await until(async () => Number(await client.get(`session.${SESSION}.last_access`)) === at);
      expect(Number(await client.get(`circuit.${CIRCUIT}.last_access`))).toBe(at);
    };
    await marked(1_787_000_010);
    await marked(1_787_000_020);
    const before = await batches();
    await marked(1_787_000_030);
    expect(await batches()).toBeLessThan(before + 5);
    // No requests of theirs.
    expect(await requests()).toBe(0);
    for (const close of closings.slice(1)) close();
    await marked(1_787_000_040);
    closings[0]?.();
    now = 1_787_000_050;
    await until(async () => Number(await client.get(`circuit.${OTHER}.last_access`)) === now);
    expect(Number(await client.get(`circuit.${CIRCUIT}.last_access`))).toBe(1_787_000_040);
    closeOther();
  }, 60_000);

  test("of ten thousand circuits are written in one transaction every few seconds", async () => {
    const closings = Array.from({ length: 10_000 }, (_, at) =>
      usage.of(circuit({ id: crypto.randomUUID(), session_ids: [`session-${at}`] })).opened(),
    );
    const written = () => client.dbsize();
    await until(async () => (await written()) >= 20_000);
    const [began, before, last] = [
      performance.now(),
      await batches(),
      Number(await client.get("session.session-0.last_access")),
    ];
    now += 60;
    await until(async () => Number(await client.get("session.session-9999.last_access")) > last);
    now += 60;
    await until(async () => Number(await client.get("session.session-9999.last_access")) > last + 60, 30_000);
    // A batch of so many is followed by a pause of five seconds.
    expect((await batches()) - before).toBeLessThanOrEqual(2 + (performance.now() - began) / 4000);
    for (const close of closings) close();
  }, 60_000);
});

describe("while Redis is away", () => {
  test("use is kept, and written whole when Redis is back", async () => {
    await redis.stop();
    for (let at = 0; at < 10; at++) usage.of(mine).request();
    usage.of(other).request();
    await until(() => keptForLater() >= 1);
    now += 3;
    for (let at = 0; at < 5; at++) usage.of(mine).request();
    await until(() => keptForLater() >= 2);
    await redis.start();
    await until(async () => (await requests()) > 0);
    expect(await written()).toEqual({
      [`circuit.${CIRCUIT}.last_access`]: "1787000003.000",
      [`circuit.${CIRCUIT}.requests`]: "15",
      [`circuit.${OTHER}.last_access`]: "1787000000.000",
      [`circuit.${OTHER}.requests`]: "1",
      [`session.${SESSION}.last_access`]: "1787000003.000",
      [`session.${SECOND}.last_access`]: "1787000000.000",
    });
  });

  test("use that is noted while a batch fails stays the last one, and nothing counts twice", async () => {
    await client.client("PAUSE", 60_000, "WRITE");
    usage.of(mine).request();
    usage.of(other).request();
    // The batch is with Redis now, which does not answer.
    const [id] = await until(async () =>
      /^id=(\d+) .* multi=\d+ /m.exec(String(await client.client("LIST", "TYPE", "NORMAL")))?.slice(1),
    );
    now += 100;
    usage.of(mine).moved();
    usage.of(mine).request();
    await client.client("KILL", "ID", Number(id));
    await until(() => keptForLater() === 1);
    await client.client("UNPAUSE");
    await until(async () => (await requests()) > 0);
    expect(await written()).toEqual({
      [`circuit.${CIRCUIT}.last_access`]: "1787000100.000",
      [`circuit.${CIRCUIT}.requests`]: "2",
      [`circuit.${OTHER}.last_access`]: "1787000000.000",
      [`circuit.${OTHER}.requests`]: "1",
      [`session.${SESSION}.last_access`]: "1787000100.000",
      [`session.${SECOND}.last_access`]: "1787000000.000",
    });
  });

  test("stopping waits for nothing", async () => {
    await redis.stop();
    usage.of(mine).request();
    const start = performance.now();
    await usage.stop();
    expect(performance.now() - start).toBeLessThan(owed(1000));
  });
});
