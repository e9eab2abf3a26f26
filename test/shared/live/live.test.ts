/** Live data: one suite that both implementations must pass, then the keys that the platform reads. Real Redis. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import type { LiveData, UsageBatch } from "../../../shared/live/live.ts";
import { createMemoryLive } from "../../../shared/live/memory.ts";
import { createRedisLive, LIVE_DB } from "../../../shared/live/redis.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { connectRedis } from "../../../shared/redis/redis.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { CIRCUIT, SESSION } from "../../support/values.ts";
import { owed } from "../../support/owed.ts";

const OTHER = "c1c1c1c1-0000-4000-8000-000000000002";
const SECOND = "5e5e5e5e-0000-4000-8000-000000000002";
const TWO_DAYS = 2 * 24 * 3600;
const AT = 1_787_000_000;

/** One circuit and its session, unless told otherwise. */
function use(requests: number, lastAccess: number, circuit = CIRCUIT, sessions = [SESSION]): UsageBatch {
  return {
    circuits: new Map([[circuit, { requests, lastAccess }]]),
    sessions: new Map(sessions.map((session) => [session, lastAccess])),
  };
}

let redis: RedisServer;
let client: Redis;

beforeAll(async () => {
  redis = await startRedis();
  client = new Redis(redis.port, "127.0.0.1", { db: 2 });
  client.on("error", () => undefined);
});

afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

async function onRedis(): Promise<LiveData> {
  await client.flushall();
  const addr = { host: "127.0.0.1", port: redis.port };
  const settings = { addr, sentinel: null, service_name: "", password: "" };
  const live = createRedisLive(connectRedis(settings, LIVE_DB, "live data", silentLog()));
  await until(() => live.healthy());
  return live;
}

let live: LiveData;
afterEach(() => live.close());

describe.each([
  ["in memory", async () => createMemoryLive(() => AT * 1000)],
  ["on Redis", onRedis],
])("live data %s", (_name, open) => {
  beforeEach(async () => void (live = await open()));

  test("adds requests and replaces times", async () => {
    await live.record(use(3, AT + 1));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 3, lastAccess: AT + 1 });
    await live.record(use(4, AT + 7.25));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 7, lastAccess: AT + 7.25 });
    await live.record(use(0, AT + 9));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 7, lastAccess: AT + 9 });
  });

  test("keeps circuits apart", async () => {
    const both = new Map([...use(1, AT).circuits, ...use(2, AT + 2, OTHER).circuits]);
    await live.record({ circuits: both, sessions: new Map() });
    expect([await live.circuitUse(CIRCUIT), await live.circuitUse(OTHER)]).toEqual([
      { requests: 1, lastAccess: AT },
      { requests: 2, lastAccess: AT + 2 },
    ]);
  });

  test("knows a circuit that only moved bytes, without requests", async () => {
    await live.record(use(0, AT));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 0, lastAccess: AT });
  });

  test("says of a circuit that it never heard of that its use is unknown", async () => {
    await live.record(use(1, AT, OTHER));
    await live.record({ circuits: new Map(), sessions: new Map() });
    expect(await live.circuitUse(CIRCUIT)).toBeNull();
  });

  test("consumes an id for the first caller only, and each id for itself", async () => {
    const first = await Promise.all(Array.from({ length: 10 }, () => live.consume("a", 60)));
    expect(first).toEqual([true, ...Array.from({ length: 9 }, () => false)]);
    expect([await live.consume("a", 60), await live.consume("b", 60)]).toEqual([false, true]);
  });

  test("remembers what the first caller of an id says of itself, and tells the others", async () => {
    expect(await live.claimed("c")).toBeNull();
    const told = await Promise.all(["one", "two", "three"].map((by) => live.claim("c", by, 60)));
    expect(told).toEqual([null, "one", "one"]);
    expect([await live.claimed("c"), await live.claim("d", "two", 60), await live.claimed("d")]).toEqual([
      "one",
      null,
      "two",
    ]);
  });

  test("knows the addresses that it was told of", async () => {
    expect(await live.isAllowed(`${CIRCUIT} 203.0.113.7`)).toBeFalse();
    await live.noteAllowed(`${CIRCUIT} 203.0.113.7`, 60);
    await live.noteAllowed(`${CIRCUIT} 2001:db8::1`, 60);
    expect(await live.isAllowed(`${CIRCUIT} 203.0.113.7`)).toBeTrue();
    expect(await live.isAllowed(`${CIRCUIT} 2001:db8::1`)).toBeTrue();
    expect(await live.isAllowed(`${OTHER} 203.0.113.7`)).toBeFalse();
    expect(await live.consume(`${CIRCUIT} 203.0.113.7`, 60)).toBeTrue();
  });

  test("takes note of a worker that was heard of", async () => {
    expect(await live.workerSeen("worker-1", AT)).toBeUndefined();
    expect(live.healthy()).toBeTrue();
  });
});

describe("in memory", () => {
  let now = 0;
  beforeEach(() => {
    now = AT * 1000;
    live = createMemoryLive(() => now);
  });

  test("a used id is free again when its time is over, and not before", async () => {
    await live.consume("a", 60);
    now += 59_999;
    expect(await live.consume("a", 60)).toBeFalse();
    now += 1;
    expect(await live.consume("a", 60)).toBeTrue();
  });

  test("a first caller is forgotten when its time is over, and not before", async () => {
    await live.claim("a", "one", 60);
    now += 59_999;
    expect(await live.claim("a", "two", 60)).toBe("one");
    now += 1;
    expect([await live.claimed("a"), await live.claim("a", "two", 60), await live.claimed("a")]).toEqual([
      null,
      null,
      "two",
    ]);
  });

  test("an address is forgotten when its time is over, and one that is let in again lasts from then on", async () => {
    await live.noteAllowed("a", 60);
    await live.noteAllowed("b", 60);
    now += 59_999;
    await live.noteAllowed("b", 60);
    expect([await live.isAllowed("a"), await live.isAllowed("b")]).toEqual([true, true]);
    now += 1;
    expect([await live.isAllowed("a"), await live.isAllowed("b")]).toEqual([false, true]);
  });

  test("use is forgotten after two days, at the next note", async () => {
    await live.record(use(5, AT));
    now += TWO_DAYS * 1000;
    await live.record(use(1, now / 1000, OTHER));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 5, lastAccess: AT });
    now += 1;
    await live.record(use(1, now / 1000, OTHER));
    expect(await live.circuitUse(CIRCUIT)).toBeNull();
    expect((await live.circuitUse(OTHER))?.requests).toBe(2);
  });
});

describe("on Redis", () => {
  beforeEach(async () => void (live = await onRedis()));

  /** Keys, values and the seconds that they have to live. */
  const everything = async () => {
    const keys = (await client.keys("*")).toSorted();
    const life = async (key: string) => Math.ceil((await client.pttl(key)) / 1000);
    return Promise.all(keys.map(async (key) => [key, await client.get(key), await life(key)]));
  };

  test("the keys are those that the platform reads, in database 2, for two days, in decimal seconds", async () => {
    await live.record(use(3, AT + 0.5, CIRCUIT, [SESSION, SECOND]));
    expect(await everything()).toEqual([
      [`circuit.${CIRCUIT}.last_access`, "1787000000.500", TWO_DAYS],
      [`circuit.${CIRCUIT}.requests`, "3", TWO_DAYS],
      [`session.${SESSION}.last_access`, "1787000000.500", TWO_DAYS],
      [`session.${SECOND}.last_access`, "1787000000.500", TWO_DAYS],
    ]);
    expect(await client.info("keyspace")).toMatch(/^# Keyspace\r\ndb2:keys=4,expires=4,[^\r]*\r\n$/);
  });

  test("bytes alone make no counter, and lengthen the life of one", async () => {
    await live.record(use(0, AT));
    expect(await client.exists(`circuit.${CIRCUIT}.requests`)).toBe(0);
    await live.record(use(2, AT));
    await client.expire(`circuit.${CIRCUIT}.requests`, 5);
    await live.record(use(0, AT + 1));
    expect((await everything())[1]).toEqual([`circuit.${CIRCUIT}.requests`, "2", TWO_DAYS]);
  });

  test("a worker that was heard of is in the hash proxy-worker.last_seen", async () => {
    await live.workerSeen("worker-1", AT);
    await live.workerSeen("worker-2", AT);
    await live.workerSeen("worker-1", AT + 1.25);
    expect(await client.hgetall("proxy-worker.last_seen")).toEqual({
      "worker-1": "1787000001.250",
      "worker-2": "1787000000.000",
    });
  });

  test.each([
    [60, 60],
    [0.2, 1],
    [59.1, 60],
  ])("a used id of %p seconds is kept for %p", async (seconds, ttl) => {
    await live.consume("a", seconds);
    expect(await everything()).toEqual([["appproxy.used.a", "1", ttl]]);
  });

  test("a first caller stands under a used id's key, so that nodes of both kinds take a token once", async () => {
    await live.claim("a", "one", 600);
    await live.claim("a", "two", 60);
    expect(await everything()).toEqual([["appproxy.used.a", "one", 600]]);
    expect(await live.consume("a", 60)).toBeFalse();
    await live.consume("b", 60);
    expect(await live.claim("b", "one", 600)).toBe("1");
  });

  test("an address is a key of its own that lives as long as it was told", async () => {
    await live.noteAllowed(`${CIRCUIT} 203.0.113.7`, 43_200);
    expect(await everything()).toEqual([[`appproxy.knock.${CIRCUIT} 203.0.113.7`, "1", 43_200]]);
    await client.expire(`appproxy.knock.${CIRCUIT} 203.0.113.7`, 5);
    await live.noteAllowed(`${CIRCUIT} 203.0.113.7`, 43_200);
    expect(await everything()).toEqual([[`appproxy.knock.${CIRCUIT} 203.0.113.7`, "1", 43_200]]);
  });

  test("a count that somebody has spoilt begins anew, and spoils no others", async () => {
    await client.set(`circuit.${OTHER}.requests`, "not a number");
    const circuits = new Map([SESSION, OTHER, CIRCUIT].map((id) => [id, { requests: 2, lastAccess: AT }]));
    await live.record({ circuits, sessions: new Map() });
    const uses = await Promise.all([SESSION, OTHER, CIRCUIT].map((id) => live.circuitUse(id)));
    expect(uses.map((one) => one?.requests)).toEqual([2, 2, 2]);
  });

  test("while Redis is away everything is refused; what is repeated then counts once", async () => {
    await live.record(use(2, AT));
    await redis.stop();
    const start = performance.now();
    const calls = [
      live.record(use(3, AT)),
      live.consume("a", 60),
      live.circuitUse(CIRCUIT),
      live.workerSeen("w", AT),
      live.noteAllowed("a", 60),
      live.isAllowed("a"),
    ];
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(calls.map(() => "rejected"));
    expect(performance.now() - start).toBeLessThan(owed(1000));
    await until(() => !live.healthy());
    await redis.start();
    await until(() => live.healthy());
    await live.record(use(3, AT));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 3, lastAccess: AT });
  });

  test("a batch whose connection breaks is not written, and counts once when it is repeated", async () => {
    await live.record(use(2, AT));
    await client.client("PAUSE", 60_000, "WRITE");
    const refused = live.record(use(3, AT + 1)).then(
      () => "written",
      () => "refused",
    );
    const [id] = await until(async () =>
      /^id=(\d+) .* multi=\d+ /m.exec(String(await client.client("LIST", "TYPE", "NORMAL")))?.slice(1),
    );
    await client.client("KILL", "ID", Number(id));
    expect(await refused).toBe("refused");
    await client.client("UNPAUSE");
    await until(() => live.healthy());
    await live.record(use(3, AT + 1));
    expect(await live.circuitUse(CIRCUIT)).toEqual({ requests: 5, lastAccess: AT + 1 });
  });
});
