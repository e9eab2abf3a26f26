/**
 * The entries for the platform's monitoring, in a real Redis. Facts seen of the coordinator and worker 26.9.6, whose keys, fields,
 * field values (JSON texts) and life these are; `address` and port of the first test are those of the run that was looked at.
 */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { Redis } from "ioredis";
import { announce, announcedAddress, type Discovery } from "../../../shared/compat/discovery.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { connectRedis } from "../../../shared/redis/redis.ts";
import { VERSION } from "../../../shared/runtime/version.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";

setDefaultTimeout(120_000);

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.port, "127.0.0.1", { db: 0 });
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});
beforeEach(() => redis.flushall());

const KEY = "service_discovery.appproxy-coordinator.af66ae2a-136f-5791-9b28-ac28f7943666";

function start(): Discovery {
  const settings = { addr: { host: "127.0.0.1", port: server.port }, sentinel: null, service_name: "", password: "" };
  const address = { host: "127.0.0.1", port: 24_700 };
  const connection = connectRedis(settings, 0, "service discovery", silentLog());
  return announce(connection, { group: "appproxy-coordinator", name: "i-vm", address }, silentLog());
}
const isThere = () => redis.exists(KEY).then((count) => count === 1);

test("are as the original's: key, fields and life; and are taken away at the end", async () => {
  const discovery = start();
  await until(isThere, 30_000, "the entry");
  const fields = await redis.hgetall(KEY);
  const read = Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, JSON.parse(text) as unknown]));
  expect(read).toEqual({
    id: "af66ae2a-136f-5791-9b28-ac28f7943666",
    display_name: "appproxy-coordinator-i-vm",
    endpoint: { address: "127.0.0.1", port: 24_700, protocol: "http", prometheus_address: "127.0.0.1:24700" },
    service_group: "appproxy-coordinator",
    version: VERSION,
    labels: {},
    health_status: { registration_time: expect.any(Number), last_heartbeat: expect.any(Number) },
  });
  const life = await redis.ttl(KEY);
  expect([life > 0, life <= 180]).toEqual([true, true]);
  await discovery.stop();
  expect(await isThere()).toBe(false);
});

test("are written again when Redis comes back empty, and harm nothing while it is away", async () => {
  const discovery = start();
  await until(isThere, 30_000, "the entry");
  await server.stop();
  await server.start();
  await until(() => isThere().catch(() => false), 60_000, "the entry again");
  await server.stop();
  await discovery.stop();
  await server.start();
});

test("of a process that is replaced stay those of the one that replaces it", async () => {
  const old = start();
  await until(isThere, 30_000, "the entry");
  const before = await redis.hget(KEY, "health_status");
  await until(
    () => Date.now() / 1000 > (JSON.parse(before ?? "{}") as { registration_time: number }).registration_time,
  );
  const younger = start();
  await until(async () => (await redis.hget(KEY, "health_status")) !== before, 30_000, "the younger one's entry");
  await old.stop();
  expect(await isThere()).toBe(true);
  await younger.stop();
  expect(await isThere()).toBe(false);
});

test("name the configured address, else where it listens, unless that is every address", () => {
  const [own, bound, advertised] = [1, 2, 3].map((port) => ({ host: "10.0.0.1", port })) as [Addr, Addr, Addr];
  expect(announcedAddress(own, bound, advertised)).toBe(own);
  expect(announcedAddress(null, bound, advertised)).toBe(bound);
  expect(announcedAddress(null, { host: "0.0.0.0", port: 2 }, advertised)).toBe(advertised);
  expect(announcedAddress(null, { host: "::", port: 2 }, null)).toEqual({ host: "::", port: 2 });
});

interface Addr {
  host: string;
  port: number;
}
