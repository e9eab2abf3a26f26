/**
 * Sessions end while people use them: coordinator and worker as processes, the platform's channel on a Redis of its own,
 * kernels that really go. What is left alone is left alone.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startPlatform, type Platform } from "../support/platform.ts";
import { startRedis } from "../support/redis.ts";
import { spawnCluster, type SpawnedCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";
import { owed } from "../support/owed.ts";

const stack = new AsyncDisposableStack();
let cluster: SpawnedCluster;
let platform: Platform;

beforeAll(async () => {
  const [redis, core] = [await startRedis(), await startRedis()];
  for (const one of [redis, core]) stack.defer(() => one.stop());
  cluster = await spawnCluster({ redisPort: redis.port, coreRedisPort: core.port });
  stack.defer(() => cluster.stop());
  platform = startPlatform(core.port);
  stack.defer(() => platform.stop());
  await until(async () => checks(await cluster.manager.call("GET", "/health"))["platform_events"] === "connected");
});

afterAll(() => stack.disposeAsync());

const checks = ({ body }: { body: Record<string, unknown> }) => (body["checks"] ?? {}) as Record<string, string>;

/** A kernel with an app, and a person in it. */
async function session(reach = true) {
  const kernel = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
  stack.defer(() => kernel.stop(true));
  const entered = await cluster.manager.enter({ kernel_port: kernel.port ?? 0 });
  const ask = () =>
    fetch(entered.origin, { headers: { cookie: entered.cookie } }).then(
      (answer) => answer.status,
      () => "refused" as const,
    );
  if (reach) expect(await ask()).toBe(200);
  return { ...entered, ask, kernel };
}

const isThere = async (id: string) => (await cluster.manager.api("GET", `/api/circuit/${id}`)).status === 200;

describe("the platform says", () => {
  test("that a session is over: within a second its port is closed, and its token opens nothing", async () => {
    const [mine, other] = [await session(), await session()];
    const since = performance.now();
    expect(await platform.sessionTerminated(mine.sessionId)).toBe(1);
    await until(async () => (await mine.ask()) === "refused");
    expect(performance.now() - since).toBeLessThan(owed(1000));
    expect(await isThere(mine.circuitId)).toBe(false);
    expect((await cluster.manager.auth(mine.token, mine.sessionId)).status).toBe(404);
    expect(await other.ask()).toBe(200);
  });

  test("that a kernel is gone: the circuit of one that refuses closes, that of a living one stays", async () => {
    const [dead, living] = [await session(), await session()];
    await dead.kernel.stop(true);
    await platform.kernelTerminated(living.sessionId);
    await platform.kernelTerminated(dead.sessionId);
    await until(async () => !(await isThere(dead.circuitId)));
    await until(async () => (await dead.ask()) === "refused");
    expect([await isThere(living.circuitId), await living.ask()]).toEqual([true, 200]);
  });

  test("that a kernel is gone: an app that nobody has reached yet is left alone", async () => {
    const [starting, dead] = [await session(false), await session()];
    for (const { kernel } of [starting, dead]) await kernel.stop(true);
    await platform.kernelTerminated(starting.sessionId);
    await platform.kernelTerminated(dead.sessionId);
    await until(async () => !(await isThere(dead.circuitId)));
    expect(await isThere(starting.circuitId)).toBe(true);
  });

  test("anything else: nothing happens", async () => {
    const { circuitId, ask } = await session();
    for (const text of ["", "{", "null", '{"name":"session_terminated","payload":"[]"}', "x".repeat(1_000_000)]) {
      expect(await platform.say(text)).toBe(1);
    }
    const last = await session();
    await platform.sessionTerminated(last.sessionId);
    await until(async () => !(await isThere(last.circuitId)));
    expect([await isThere(circuitId), await ask()]).toEqual([true, 200]);
  });
});
