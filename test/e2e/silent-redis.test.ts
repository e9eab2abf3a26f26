/** A Redis that is there but says nothing (SIGSTOP): people still get in, and the services can still be stopped. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startApp, type App } from "../support/app.ts";
import { follow } from "../support/manager.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnCluster, type SpawnedCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";

let redis: RedisServer;
let cluster: SpawnedCluster;
let app: App;

beforeAll(async () => {
  [redis, app] = [await startRedis(), startApp()];
  cluster = await spawnCluster({ redisPort: redis.port });
});

afterAll(async () => {
  redis.signal("SIGCONT");
  await cluster.stop();
  await redis.stop();
  await app.stop();
});

test("a setup link works, readiness says so, and a signal ends both services", async () => {
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port });
  await cluster.manager.auth(token, sessionId);
  redis.signal("SIGSTOP");
  const again = await cluster.manager.auth(token, sessionId);
  expect(again.body["reuse"]).toBe(true);
  const { origin, cookie } = await follow(String(again.body["redirect_url"]));
  expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
  await until(async () => (await cluster.manager.call("GET", "/health/readyz")).status === 503);
  expect(await Promise.all([cluster.worker.stop("SIGTERM"), cluster.coordinator.stop("SIGTERM")])).toEqual([0, 0]);
});
