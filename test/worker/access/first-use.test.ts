/** Who used a link first: known to all nodes that share a Redis, and to each node alone while Redis is away. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { pino } from "pino";
import type { LiveData } from "../../../shared/live/live.ts";
import { createRedisLive, LIVE_DB } from "../../../shared/live/redis.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { connectRedis } from "../../../shared/redis/redis.ts";
import { createFirstUses, isOver, isSameClient, type FirstUses } from "../../../worker/access/first-use.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { owed } from "../../support/owed.ts";

const MINUTES = 60_000;
const ME = "203.0.113.7";

let redis: RedisServer;
let lives: LiveData[] = [];
let said: string[] = [];
let now = 0;
let first: FirstUses;
let second: FirstUses;

beforeEach(async () => {
  redis = await startRedis();
  now = 1_787_000_000_000;
  said = [];
  [first, second] = [node(), node()];
  await until(() => lives.every((live) => live.healthy()));
});

afterEach(async () => {
  for (const live of lives) await live.close();
  lives = [];
  await redis.stop();
});

/** A worker's node with a connection and a memory of its own. */
function node(): FirstUses {
  const addr = { host: "127.0.0.1", port: redis.port };
  const settings = { addr, sentinel: null, service_name: "", password: "" };
  const live = createRedisLive(connectRedis(settings, LIVE_DB, "live data", silentLog()));
  lives.push(live);
  const log = pino({}, { write: (line: string) => void said.push((JSON.parse(line) as { msg: string }).msg) });
  return createFirstUses(live, log, () => now);
}

describe("two nodes of one worker", () => {
  test("know between them who was the first, and when", async () => {
    expect(await first.find("a")).toBeNull();
    expect(await first.claim("a", ME)).toBeNull();
    const known = { by: ME, at: now };
    now += MINUTES;
    expect([await second.claim("a", "198.51.100.1"), await first.claim("a", ME)]).toEqual([known, known]);
    expect([await second.find("a"), await first.find("a")]).toEqual([known, known]);
    expect(await second.claim("b", ME)).toBeNull();
  });

  test("have one first however many come at the same moment", async () => {
    const all = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? first : second).claim("a", `203.0.113.${at}`));
    const told = await Promise.all(all);
    const winner = told.indexOf(null);
    expect(new Set(told.map((one) => one?.by ?? `203.0.113.${winner}`))).toEqual(new Set([`203.0.113.${winner}`]));
    expect(told.filter((one) => one === null).length).toBe(1);
  });

  test("forget nobody within ten minutes, and keep nobody longer", async () => {
    await first.claim("a", ME);
    now += 10 * MINUTES - 1;
    expect((await first.find("a"))?.by).toBe(ME);
    await redis.stop();
    now += 1;
    expect(await first.find("a")).toBeNull();
  });

  test("count a use that an older version has noted without a name as somebody else's", async () => {
    await lives[0]?.consume("a", 60);
    const noted = await first.claim("a", ME);
    expect(noted).toEqual({ by: null, at: Infinity });
  });
});

describe("while Redis is away", () => {
  test("a node remembers by itself, without waiting, and says so", async () => {
    await redis.stop();
    const start = performance.now();
    expect([await first.claim("a", ME), (await first.claim("a", "198.51.100.1"))?.by]).toEqual([null, ME]);
    expect([(await first.find("a"))?.by, await first.find("b")]).toEqual([ME, null]);
    expect(performance.now() - start).toBeLessThan(owed(5000));
    expect(said).toEqual([
      "live data is away: the first use of a setup link is remembered by this node only",
      "live data is away: cannot look up who used a setup link first",
    ]);
  });

  test("a node knows what it learned before", async () => {
    await first.claim("a", ME);
    await second.claim("a", "198.51.100.1");
    await redis.stop();
    expect([(await first.find("a"))?.by, (await second.find("a"))?.by]).toEqual([ME, ME]);
  });
});

describe("the same client", () => {
  const at = 1_787_000_000_000;

  test.each<[string, string | null, string, boolean]>([
    ["the same address", ME, ME, true],
    ["the same address in another spelling", ME, `::ffff:${ME}`, true],
    ["IPv6 in another spelling", "2001:db8::1", "2001:0DB8:0:0::1", true],
    ["another address", ME, "203.0.113.8", false],
    ["no address", ME, "", false],
    ["nobody knows who", null, "", false],
  ])("%s", (_what, by, address, expected) => {
    expect(isSameClient({ by, at }, address)).toBe(expected);
  });

  test.each<[string, number, boolean]>([
    ["at once", 0, false],
    ["seen by a node whose clock is behind", -MINUTES, false],
    ["ten minutes later", 10 * MINUTES, false],
    ["later than that", 10 * MINUTES + 1, true],
  ])("%s", (_what, later, expected) => {
    expect(isOver({ by: ME, at }, at + later)).toBe(expected);
  });
});
