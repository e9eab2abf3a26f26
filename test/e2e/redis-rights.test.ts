/**
 * Coordinator and worker on a Redis that speaks TLS and knows them by users of their own, with the very rights that
 * docs/redis.md gives them: everything works, nothing is refused, and no right is there for nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { createRedisLive, LIVE_DB } from "../../shared/live/redis.ts";
import type { LiveData } from "../../shared/live/live.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { connectRedis } from "../../shared/redis/redis.ts";
import { startApp, type App } from "../support/app.ts";
import { SERVER_NAME, startTlsRedis, type TlsRedis } from "../support/redis-tls.ts";
import { ROOT, spawnCluster, type SpawnedCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";

/** Starting both, and a minute of a slow machine. Milliseconds. */
const LONG_MS = 120_000;
const ADMIN = "the-admin-of-the-test-0123";
const PASSWORDS = { coordinator: "of-the-coordinator-0123", worker: "of-the-worker-0123456789" };
const lines = readFileSync(join(ROOT, "docs/redis.md"), "utf8").match(/^user app-proxy-.*$/gm) ?? [];
const users = {
  coordinator: lines.find((line) => line.startsWith("user app-proxy-coordinator ")) ?? "",
  worker: lines.find((line) => line.startsWith("user app-proxy-worker ")) ?? "",
};

const stack = new AsyncDisposableStack();
let redis: TlsRedis;
let admin: Redis;
let app: App;
let cluster: SpawnedCluster;

beforeAll(async () => {
  const given = (who: keyof typeof users) => users[who].replace(">PASSWORD", `>${PASSWORDS[who]}`);
  const acl = ["user default off", `user admin on >${ADMIN} ~* &* +@all`, given("coordinator"), given("worker")];
  redis = await startTlsRedis({ acl });
  stack.defer(() => redis.stop());
  admin = new Redis(redis.plain.port, "127.0.0.1", { username: "admin", password: ADMIN });
  stack.defer(() => admin.disconnect());
  app = startApp();
  stack.defer(() => app.stop());
  cluster = await spawnCluster({
    redisPort: redis.port,
    redis: { coordinator: section("coordinator"), worker: section("worker") },
  });
  stack.defer(() => cluster.stop());
}, LONG_MS);
afterAll(() => stack.disposeAsync());

test("docs/redis.md has a line for each", () => {
  expect([lines.length, users.coordinator === "", users.worker === ""]).toEqual([2, false, false]);
});

test(
  "people open apps, use them and have them ended by the platform; no command was refused, and each right was used",
  async () => {
    await admin.acl("LOG", "RESET");
    const { origin, cookie, circuitId, sessionId } = await cluster.manager.enter({ kernel_port: app.port });
    const visit = async () => (await fetch(origin, { headers: { Cookie: cookie } })).status;
    expect(await visit()).toBe(200);
    await until(async () => Number(await read(`circuit.${circuitId}.requests`)) > 0);
    expect(Number(await read(`session.${sessionId}.last_access`))).toBeGreaterThan(0);
    const { body } = await cluster.manager.api("GET", `/api/circuit/${circuitId}/statistics`);
    expect(body["requests"]).toBeGreaterThan(0);
    // What else a worker does with live data, as for TCP circuits; and a coordinator, as when it collects circuits.
    const another = crypto.randomUUID();
    await asWorker(another, crypto.randomUUID());
    await asCoordinator(another);
    await until(async () => (await admin.keys("service_discovery.*")).length === 2);
    const ended = { name: "session_terminated", source: "platform", payload: JSON.stringify({ session_id: sessionId, reason: "test" }), metadata: "{}" }; // prettier-ignore
    await admin.publish("events_all", JSON.stringify(ended));
    await until(async () => (await cluster.manager.api("GET", `/api/circuit/${circuitId}`)).status === 404);
    // They say good-bye: the worker is announced as terminated, and both are taken out of the platform's monitoring.
    await cluster.worker.stop();
    await admin.select(4);
    await until(async () => (await admin.xlen("events-appproxy")) > 0);
    await cluster.coordinator.stop();
    await admin.select(0);
    expect(await admin.keys("service_discovery.*")).toEqual([]);
    expect(await admin.acl("LOG")).toEqual([]);
    const warned = [...cluster.coordinator.lines, ...cluster.worker.lines].filter(({ msg }) => /Redis is away|cannot/.test(String(msg))); // prettier-ignore
    expect(warned).toEqual([]);
    const used = new Set(
      [...(await admin.info("commandstats")).matchAll(/^cmdstat_([a-z|]+):calls=[1-9]/gm)].map(([, name]) => name),
    );
    const granted = Object.values(users).flatMap((line) =>
      [...line.matchAll(/ \+([a-z|]+)/g)].map(([, name]) => String(name)),
    );
    expect(granted.filter((name) => !used.has(name))).toEqual([]);
  },
  LONG_MS,
);

describe("of what is not theirs", () => {
  const tries: [who: keyof typeof PASSWORDS, what: string, work: (as: Redis) => Promise<unknown>][] = [
    ["worker", "the platform's events, read", (as) => as.subscribe("events_all")],
    ["worker", "the platform's events, made", (as) => as.publish("events_all", "{}")],
    ["worker", "an announcement that a worker is lost", (as) => as.xadd("events-appproxy", "*", "name", "worker_lost")],
    ["worker", "when workers were seen", (as) => as.hset("proxy-worker.last_seen", "other", "0")],
    ["worker", "the coordinator's entry for monitoring", (as) => as.del("service_discovery.appproxy-coordinator.x")],
    ["worker", "any key", (as) => as.get("anything")],
    ["worker", "all keys", (as) => as.keys("*")],
    ["worker", "the server's configuration", (as) => as.config("GET", "*")],
    ["coordinator", "the platform's events, read, but not other channels", (as) => as.subscribe("other")],
    ["coordinator", "an app's use, written", (as) => as.hset("circuit.x.last_access", "a", "1")],
    ["coordinator", "any key", (as) => as.mget("anything")],
    ["coordinator", "everything", (as) => as.flushall()],
  ];

  test.each(tries)("%s: %s is refused", async (who, _what, work) => {
    const as = new Redis({ port: redis.plain.port, host: "127.0.0.1", username: `app-proxy-${who}`, password: PASSWORDS[who], disableClientInfo: true }); // prettier-ignore
    try {
      expect(await work(as).then(() => "done", String)).toStartWith("ReplyError: NOPERM");
    } finally {
      as.disconnect();
    }
  });
});

// --- internal ---

function section(who: keyof typeof PASSWORDS) {
  const tls = { tls: true, tls_ca: redis.authority.ca, tls_server_name: SERVER_NAME };
  return { ...tls, username: `app-proxy-${who}`, password: PASSWORDS[who] };
}

async function read(key: string): Promise<string | null> {
  await admin.select(LIVE_DB);
  const value = await admin.get(key);
  await admin.select(0);
  return value;
}

async function withLive(who: keyof typeof PASSWORDS, work: (live: LiveData) => Promise<void>): Promise<void> {
  const settings = { addr: { host: "127.0.0.1", port: redis.port }, sentinel: null, service_name: "", ...section(who) };
  const live = createRedisLive(connectRedis(settings, LIVE_DB, "tester", silentLog()));
  try {
    await until(() => live.healthy());
    await work(live);
  } finally {
    await live.close();
  }
}

function asWorker(circuit: string, session: string): Promise<void> {
  return withLive("worker", async (live) => {
    await live.record({
      circuits: new Map([[circuit, { requests: 1, lastAccess: 1 }]]),
      sessions: new Map([[session, 1]]),
    });
    const id = crypto.randomUUID();
    expect([await live.consume(id, 60), await live.consume(id, 60)]).toEqual([true, false]);
    const link = crypto.randomUUID();
    expect([await live.claim(link, "a", 60), await live.claim(link, "b", 60), await live.claimed(link)]).toEqual([null, "a", "a"]); // prettier-ignore
    await live.noteAllowed(id, 60);
    expect(await live.isAllowed(id)).toBe(true);
  });
}

function asCoordinator(circuit: string): Promise<void> {
  return withLive("coordinator", async (live) => {
    await live.workerSeen("worker-1", 1);
    expect(await live.lastAccesses([circuit, crypto.randomUUID()])).toEqual([1, null]);
    expect(await live.circuitUse(circuit)).toMatchObject({ lastAccess: 1 });
  });
}
