/** The probes of routes that are out: real connects, with a short interval. The 10 s are in the contract suite. */
import { afterEach, describe, expect, test } from "bun:test";
import { reach } from "../../../worker/net/dial.ts";
import { createProber, type Prober } from "../../../worker/health/recovery.ts";
import { RoutePool, type Upstream } from "../../../worker/upstreams/pool.ts";
import { listen } from "../../contract/upstreams.ts";
import { until } from "../../support/until.ts";
import { route } from "../../support/values.ts";
import { atEnd } from "../../support/at-end.ts";
import { judged } from "../../../worker/net/targets.ts";

const EVERY_MS = 20;

let prober: Prober;
let asked = 0;
afterEach(() => prober.stop());

/** A pool with a route that does not answer yet, and one that nobody asks. */
function outPool(): { pool: RoutePool; upstream: Upstream; app: ReturnType<typeof listen> } {
  asked = 0;
  prober = createProber(async (target) => {
    asked++;
    return (await reach(target)) === true;
  }, EVERY_MS);
  const app = listen(() => undefined);
  app.refuse();
  const pool: RoutePool = new RoutePool({
    policy: "round_robin",
    now: Date.now,
    random: () => 0,
    targets: judged,
    out: (one) => prober.watch(pool, one),
  });
  const local = { kernel_host: "127.0.0.1" };
  pool.set([route({ ...local, kernel_port: app.port }), route({ ...local, kernel_port: 1 })], 0);
  const upstream = pool.pick();
  if (upstream === null) throw new Error("the pool gives no upstream");
  return { pool, upstream, app };
}

/** Resolves when another prober has probed so often a route that never answers. */
async function ticks(count: number): Promise<void> {
  let probes = 0;
  const clock = createProber(async () => {
    probes++;
    return false;
  }, EVERY_MS);
  const pool: RoutePool = new RoutePool({
    policy: "round_robin",
    now: Date.now,
    random: () => 0,
    targets: judged,
    out: (one) => clock.watch(pool, one),
  });
  pool.set([route({ kernel_port: 1 }), route({ kernel_port: 2 })], 0);
  const upstream = pool.pick();
  if (upstream !== null) takeOut(pool, upstream);
  await until(() => probes >= count);
  clock.stop();
}

function takeOut(pool: RoutePool, upstream: Upstream): void {
  for (let time = 0; time < 3; time++) pool.connectFailed(upstream);
}

describe("a route that is out", () => {
  test("is tried until it accepts a connection, and then no more", async () => {
    const { pool, upstream, app } = outPool();
    atEnd(() => app.stop());
    takeOut(pool, upstream);
    await until(() => asked >= 3);
    expect(upstream.outAt).not.toBeNull();
    app.accept();
    await until(() => upstream.outAt === null);
    const seen = asked;
    await ticks(3);
    expect([asked, app.wires.length]).toEqual([seen, 1]);
  });

  test("is tried no more when it is gone", async () => {
    const { pool, upstream } = outPool();
    takeOut(pool, upstream);
    await until(() => asked >= 1);
    pool.set([], 0);
    await ticks(2);
    const seen = asked;
    await ticks(3);
    expect(asked).toBe(seen);
  });

  test("that came back by itself and went out again is tried by one probe at a time", async () => {
    const { pool, upstream } = outPool();
    for (let time = 0; time < 5; time++) {
      takeOut(pool, upstream);
      pool.connected(upstream);
    }
    takeOut(pool, upstream);
    const start = performance.now();
    await until(() => asked >= 5);
    // Six probes at once would have asked five times at the first.
    expect(performance.now() - start).toBeGreaterThan(4 * EVERY_MS);
  });

  test("is left alone after the stop, also by a probe that was under way", async () => {
    const { pool, upstream, app } = outPool();
    atEnd(() => app.stop());
    takeOut(pool, upstream);
    await until(() => asked >= 1);
    prober.stop();
    app.accept();
    const seen = asked;
    await ticks(3);
    expect(asked).toBe(seen);
    expect(upstream.outAt).not.toBeNull();
  });
});
