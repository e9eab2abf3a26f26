/**
 * Measures the Manager's calls about many model services: coordinator, worker and Redis as processes of their own. A call
 * answers when the worker serves what it asks for. The peer is the same number of calls about one.
 */
import { createClient } from "../../shared/client/client.ts";
import { operations } from "../../shared/protocol/operations.ts";
import { API_SECRET } from "../support/manager.ts";
import { startRedis } from "../support/redis.ts";
import { spawnCluster } from "../support/spawned.ts";
import { measure, sumUp, type Figure } from "./measure.ts";
import type { Size } from "./size.ts";

export const AIM = "1,000 endpoints or 5,000 routes in one call under a second";

/** Rows are named by the full amount. */
const AMOUNT = {
  full: { endpoints: 1000, routes: 5000, rounds: 7 },
  smoke: { endpoints: 10, routes: 50, rounds: 1 },
} satisfies Record<Size, object>;
type Amount = (typeof AMOUNT)[Size];
/** A worker's ports beyond its endpoints. */
const SPARE_PORTS = 64;

/** Runs it. Rejects when an answer is wrong; times are never a reason. */
export async function benchBulk(size: Size): Promise<Figure[]> {
  const amount = AMOUNT[size];
  process.env["APP_PROXY_COORDINATOR__LOGGING__LEVEL"] = "info";
  process.env["APP_PROXY_WORKER__LOGGING__LEVEL"] = "info";
  const redis = await startRedis();
  const cluster = await spawnCluster({
    redisPort: redis.port,
    ports: amount.endpoints + SPARE_PORTS,
    worker: { heartbeat_period: 10 },
  });
  try {
    return await measureBulk(cluster.manager.baseUrl, amount);
  } finally {
    await cluster.stop();
    await redis.stop();
  }
}

/** The aim against what was measured. */
export function judgeBulk(figures: readonly Figure[]): string {
  const slowest = (name: string) => figures.find((one) => one.name.startsWith(name))?.p99 ?? Number.NaN;
  const calls = ["create 1,000", "5 routes each", "5,000 routes"].map((name) => slowest(name));
  const reached = calls.every((ms) => ms < 1000);
  return `aim: ${AIM}: ${reached ? "reached" : "NOT reached"} (slowest of ${AMOUNT.full.rounds}: ${calls.map((ms) => `${ms.toFixed(0)} ms`).join(", ")})`;
}

// --- internal ---

async function measureBulk(baseUrl: string, amount: Amount): Promise<Figure[]> {
  const coordinator = createClient(operations, { baseUrl, secret: API_SECRET });
  const times: Record<string, number[]> = {};

  async function timed<T extends { endpoints: { success: boolean; error: string | null }[] }>(
    name: string,
    call: () => Promise<T>,
  ): Promise<void> {
    const began = performance.now();
    const { endpoints } = await call();
    (times[name] ??= []).push(performance.now() - began);
    const bad = endpoints.find(({ success }) => !success);
    if (bad !== undefined) throw new Error(`${name}: ${bad.error}`);
  }

  for (let round = 0; round <= amount.rounds; round++) {
    // The first round warms up.
    if (round === 1) for (const name of Object.keys(times)) times[name] = [];
    const ids = Array.from({ length: amount.endpoints }, () => crypto.randomUUID());
    const endpoints = ids.map((id) => ({ deployment_id: id, ...wish(id) }));
    await timed("create 1,000 endpoints", () => coordinator.syncEndpoints({ body: { endpoints } }));
    await timed("the same call again", () => coordinator.syncEndpoints({ body: { endpoints } }));
    const some = ids.map((id) => ({ deployment_id: id, routes: routes(amount.routes / amount.endpoints) }));
    await timed("5 routes each for 1,000", () => coordinator.replaceRoutes({ body: { endpoints: some } }));
    const [first = ""] = ids;
    const many = [{ deployment_id: first, routes: routes(amount.routes) }];
    await timed("5,000 routes for one", () => coordinator.replaceRoutes({ body: { endpoints: many } }));
    await timed("delete 1,000 endpoints", () =>
      coordinator.deleteEndpoints({ body: { endpoints: ids.map((id) => ({ deployment_id: id })) } }),
    );
  }
  const figures = Object.entries(times).map(([name, ms]) =>
    sumUp(
      name,
      1,
      ms,
      ms.reduce((sum, one) => sum + one, 0),
    ),
  );
  const alone = await measure("peer: create one, 32 at a time", { concurrency: 32, count: amount.endpoints, maxMs: 30_000 }, async () => {
    const id = crypto.randomUUID();
    await coordinator.syncEndpoint({ endpoint_id: id, body: wish(id) });
  }); // prettier-ignore
  return [...figures, alone.figure];
}

function wish(id: string) {
  const session = { user_uuid: "f38dea23-50fa-42a0-b5ae-338f5f4693f4", domain_name: "default" };
  return { service_name: "bench", tags: { session, endpoint: { id, runtime_variant: "vllm" } } };
}

function routes(count: number) {
  return Array.from({ length: count }, (_, at) => ({
    session_id: crypto.randomUUID(),
    route_id: crypto.randomUUID(),
    kernel_host: "127.0.0.1",
    kernel_port: 20_000 + (at % 10_000),
  }));
}
