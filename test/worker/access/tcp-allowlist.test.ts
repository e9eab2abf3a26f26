/** Addresses that were let in: remembered here and for the other nodes, for 12 hours, however an address is spelled. Real Redis. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { pino } from "pino";
import type { LiveData } from "../../../shared/live/live.ts";
import { createRedisLive, LIVE_DB } from "../../../shared/live/redis.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { connectRedis } from "../../../shared/redis/redis.ts";
import { createTcpAllowlist, ALLOWED_SECONDS, type TcpAllowlist } from "../../../worker/access/tcp-allowlist.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { CIRCUIT as ID } from "../../support/values.ts";

const CIRCUIT = { circuit: { id: ID } };
const OTHER = { circuit: { id: "c1c1c1c1-0000-4000-8000-000000000002" } };
const CLIENT = "203.0.113.7";

let redis: RedisServer;
let client: Redis;
let lives: LiveData[];
let now: number;
let said: string[];
/** Two nodes of one authority. */
let mine: TcpAllowlist;
let theirs: TcpAllowlist;

beforeEach(async () => {
  redis = await startRedis();
  client = new Redis(redis.port, "127.0.0.1", { db: LIVE_DB });
  client.on("error", () => undefined);
  now = 1_787_000_000_000;
  said = [];
  const settings = { addr: { host: "127.0.0.1", port: redis.port }, sentinel: null, service_name: "", password: "" };
  lives = [1, 2].map(() => createRedisLive(connectRedis(settings, LIVE_DB, "live data", silentLog())));
  await until(() => lives.every((live) => live.healthy()));
  const log = pino({ level: "debug" }, { write: (line) => said.push(line) });
  [mine, theirs] = lives.map((live) => createTcpAllowlist(live, log, () => now)) as [TcpAllowlist, TcpAllowlist];
});

afterEach(async () => {
  client.disconnect();
  for (const live of lives) await live.close();
  await redis.stop();
});

describe("an address that was let in", () => {
  test("lets its address use its circuit, at every node, and nothing else", async () => {
    expect(await mine.knows(CIRCUIT, CLIENT)).toBe(false);
    await mine.note(CIRCUIT, CLIENT);
    for (const allowlist of [mine, theirs]) {
      expect(await allowlist.knows(CIRCUIT, CLIENT)).toBe(true);
      expect(await allowlist.knows(OTHER, CLIENT)).toBe(false);
      expect(await allowlist.knows(CIRCUIT, "203.0.113.8")).toBe(false);
    }
  });

  test("is good for 12 hours, here and in Redis", async () => {
    await mine.note(CIRCUIT, CLIENT);
    expect(await client.ttl(`appproxy.knock.${ID} ${CLIENT}`)).toBeWithin(ALLOWED_SECONDS - 5, ALLOWED_SECONDS + 1);
    await client.flushdb();
    now += 12 * 3600 * 1000 - 1;
    expect(await mine.knows(CIRCUIT, CLIENT)).toBe(true);
    now += 1;
    expect(await mine.knows(CIRCUIT, CLIENT)).toBe(false);
  });

  test("that is repeated lasts from then on", async () => {
    await mine.note(CIRCUIT, CLIENT);
    now += 6 * 3600 * 1000;
    await mine.note(CIRCUIT, CLIENT);
    await client.flushdb();
    now += 11 * 3600 * 1000;
    expect(await mine.knows(CIRCUIT, CLIENT)).toBe(true);
  });

  test.each([
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8::0001", "2001:db8::1"],
  ])("from %s is one from %s", async (noted, connected) => {
    await mine.note(CIRCUIT, noted);
    expect([await mine.knows(CIRCUIT, connected), await theirs.knows(CIRCUIT, connected)]).toEqual([true, true]);
    expect(await mine.knows(CIRCUIT, noted)).toBe(true);
  });

  test("is forgotten here with the circuit, and is in Redis for whoever has it again", async () => {
    await mine.note(CIRCUIT, CLIENT);
    const again = { circuit: { id: ID } };
    expect(await mine.knows(again, CLIENT)).toBe(true);
    await client.flushdb();
    expect([await mine.knows(again, CLIENT), await mine.knows(CIRCUIT, CLIENT)]).toEqual([false, true]);
  });

  test("is asked of Redis once for many connections that come at once", async () => {
    const before = await calls();
    const known = await Promise.all(Array.from({ length: 100 }, () => mine.knows(CIRCUIT, CLIENT)));
    expect(new Set(known)).toEqual(new Set([false]));
    expect((await calls()) - before).toBe(1);
    // And again for the next ones: the address may have been let in elsewhere meanwhile.
    await theirs.note(CIRCUIT, CLIENT);
    expect(await mine.knows(CIRCUIT, CLIENT)).toBe(true);
  });

  test("counts here while Redis is away, where others deny; both say so", async () => {
    await redis.stop();
    await until(() => lives.every((live) => !live.healthy()));
    await mine.note(CIRCUIT, CLIENT);
    expect([await mine.knows(CIRCUIT, CLIENT), await theirs.knows(CIRCUIT, CLIENT)]).toEqual([true, false]);
    expect(said.filter((line) => line.includes("live data is away")).length).toBe(2);
  });

  test("is forgotten first when there are more than 10,000 of a circuit, the oldest first", async () => {
    await redis.stop();
    await until(() => lives.every((live) => !live.healthy()));
    const address = (at: number) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
    for (let at = 0; at <= 10_000; at++) await mine.note(CIRCUIT, address(at));
    expect([await mine.knows(CIRCUIT, address(0)), await mine.knows(CIRCUIT, address(1))]).toEqual([false, true]);
    expect(await mine.knows(CIRCUIT, address(10_000))).toBe(true);
  });
});

/** How often Redis was asked whether a key exists. */
async function calls(): Promise<number> {
  return Number(/^cmdstat_exists:calls=(\d+)/m.exec(await client.info("commandstats"))?.[1] ?? 0);
}
