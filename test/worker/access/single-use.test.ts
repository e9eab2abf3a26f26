/** Single-use ids of tokens: for all nodes that share a Redis, and for each node alone while Redis is away. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import type { LiveData } from "../../../shared/live/live.ts";
import { createRedisLive, LIVE_DB } from "../../../shared/live/redis.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { connectRedis } from "../../../shared/redis/redis.ts";
import { createSingleUse, MOST_OF_HOLDER, type SingleUse } from "../../../worker/access/single-use.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { owed } from "../../support/owed.ts";
import { USER } from "../../support/values.ts";

let redis: RedisServer;
let lives: LiveData[] = [];
let now = 0;
let first: SingleUse;
let second: SingleUse;

beforeEach(async () => {
  redis = await startRedis();
  now = 1_787_000_000_000;
  [first, second] = [node(), node()];
  await reconnected();
});

afterEach(async () => {
  for (const live of lives) await live.close();
  lives = [];
  await redis.stop();
});

/** A worker's node with a connection and a memory of its own. */
function node(): SingleUse {
  const addr = { host: "127.0.0.1", port: redis.port };
  const settings = { addr, sentinel: null, service_name: "", password: "" };
  const live = createRedisLive(connectRedis(settings, LIVE_DB, "live data", silentLog()));
  lives.push(live);
  return createSingleUse(live, silentLog(), () => now);
}

const reconnected = () => until(() => lives.every((live) => live.healthy()));

describe("two nodes of one worker", () => {
  test("take an id once between them", async () => {
    expect(await first.consume("a", USER, 60_000)).toBe("first");
    expect([await second.consume("a", USER, 60_000), await first.consume("a", USER, 60_000)]).toEqual(["used", "used"]);
    expect(await second.consume("b", USER, 60_000)).toBe("first");
  });

  test("take an id once however many come at the same moment", async () => {
    const both = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? first : second).consume("a", USER, 60_000));
    expect((await Promise.all(both)).filter((use) => use !== "used")).toEqual(["first"]);
  });

  test("remember it in Redis for as long as it could be used, in whole seconds", async () => {
    await first.consume("a", USER, 60_500);
    const client = new Redis(redis.port, "127.0.0.1", { db: 2 });
    expect([await client.keys("*"), await client.ttl("appproxy.used.a")]).toEqual([["appproxy.used.a"], 61]);
    client.disconnect();
  });
});

describe("while Redis is away", () => {
  test("a node takes an id once all the same, without waiting for Redis", async () => {
    await redis.stop();
    const start = performance.now();
    expect([await first.consume("a", USER, 60_000), await first.consume("a", USER, 60_000)]).toEqual(["first", "used"]);
    expect(performance.now() - start).toBeLessThan(owed(1000));
    expect(await first.consume("b", USER, 60_000)).toBe("first");
  });

  test("a node knows what it took before", async () => {
    await first.consume("a", USER, 60_000);
    await redis.stop();
    expect(await first.consume("a", USER, 60_000)).toBe("used");
  });

  test("a node forgets an id only when it can't be used any more", async () => {
    await redis.stop();
    await first.consume("a", USER, 60_000);
    now += 59_999;
    expect(await first.consume("a", USER, 60_000)).toBe("used");
    now += 1;
    expect(await first.consume("a", USER, 60_000)).toBe("first");
  });
});

test("a node forgets none, however many are used after it while Redis is away", async () => {
  await redis.stop();
  await first.consume("a", USER, 60_000);
  for (let batch = 0; batch < 101; batch++)
    await Promise.all(
      Array.from({ length: 1000 }, (_, at) => first.consume(`${batch} ${at}`, `circuit-${batch}`, 60_000)),
    );
  expect(await first.consume("a", USER, 60_000)).toBe("used");
});

test("of one holder a node takes as many as it remembers, and of others none the fewer", async () => {
  await Promise.all(Array.from({ length: MOST_OF_HOLDER }, (_, at) => first.consume(String(at), USER, 60_000)));
  expect(await first.consume("one more", USER, 60_000)).toBe("full");
  // What was used already stays used.
  expect(await first.consume("0", USER, 60_000)).toBe("used");
  expect(await first.consume("one more", "another", 60_000)).toBe("first");
  now += 60_000;
  expect(await first.consume("later", USER, 60_000)).toBe("first");
});

describe("when Redis is back, empty", () => {
  test("a node still refuses what it took before and meanwhile, and new ids are shared again", async () => {
    await first.consume("before", USER, 60_000);
    await redis.stop();
    await first.consume("meanwhile", USER, 60_000);
    await redis.start();
    await reconnected();
    expect([await first.consume("before", USER, 60_000), await first.consume("meanwhile", USER, 60_000)]).toEqual([
      "used",
      "used",
    ]);
    expect([await second.consume("new", USER, 60_000), await first.consume("new", USER, 60_000)]).toEqual([
      "first",
      "used",
    ]);
  });
});
