/** The coordinators that examples of refusals are for, each as a test's file starts it. */
import { startCluster } from "../../support/cluster.ts";
import { startFakeWorker } from "../../support/fake-worker.ts";
import { holdLock } from "../../support/lock.ts";
import { startLoneCoordinator } from "../../support/lone-coordinator.ts";
import { startRedis } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { LIMITS, OF_WORKERS } from "./implied.ts";
import type { Place } from "./plan.ts";
import { Stage } from "./stage.ts";

export interface Started {
  stage: Stage;
  /** Of the worker's own API; of a worker that only acknowledges, none. */
  workerApi: string;
  /** Holds what the place is about while a call is made; undefined where that is always so. */
  during?: () => Promise<AsyncDisposable>;
  stop(): Promise<void>;
}

/** A coordinator with a real worker, over a real Redis. `ports` for so many circuits at once; `names` as in stage.ts. */
export async function startUsual(
  ports: number,
  coordinator: Record<string, unknown> = {},
  names?: number,
): Promise<Started> {
  const redis = await startRedis();
  // The other workers that tests register send no heartbeats.
  const patient = { worker_heartbeat_timeout: 3600, ...coordinator };
  const secrets = { worker_secret: OF_WORKERS };
  const cluster = await startCluster({ redisPort: redis.port, ports, coordinator: patient, secrets });
  const { workerApi } = cluster;
  // Until both hear events a creation would wait for the next heartbeat.
  await until(async () => (await fetch(`${cluster.coordinator.baseUrl}/health/readyz`)).ok);
  await until(async () => (await (await fetch(`${workerApi}/health`)).text()).includes('"ok"'));
  return {
    stage: new Stage(cluster.manager, names),
    workerApi,
    async stop() {
      await cluster.stop();
      await redis.stop();
    },
  };
}

/** A call while the place is as it is about. */
export async function meanwhile<T>({ during }: Started, call: () => Promise<T>): Promise<T> {
  await using _held = (await during?.()) ?? null;
  return await call();
}

export const places: Record<Place, () => Promise<Started>> = {
  usual: () => startUsual(300, LIMITS),
  empty: () => startLone({}),
  deaf: () => startLone({ circuit_ack_timeout: 0.1 }, "deaf"),
  full: () => startLone({ limits: { session_circuits: 1 } }, "full"),
  adrift: () => startLone({}, "adrift"),
  locked: () => startLone({ worker_heartbeat_timeout: 3600 }, "locked"),
  closed: () => startLone({ metric_access_allowed_hosts: ["192.0.2.0/24"] }),
};

// --- internal ---

/** Milliseconds. */
const PATIENCE = 50;

/** Beside it a worker that only acknowledges; `deaf`: not even that; `adrift`: when it has, Redis goes. */
async function startLone(
  coordinator: Record<string, unknown>,
  fault?: "deaf" | "full" | "adrift" | "locked",
): Promise<Started> {
  const lone = await startLoneCoordinator({ coordinator, ...(fault === "locked" ? { patience: PATIENCE } : {}) });
  const stage = new Stage(lone.manager);
  const both = { authority: "worker-1", accepted_traffics: ["interactive", "inference"], port_range: [20_000, 20_299] };
  const worker = fault === undefined ? null : await startFakeWorker(lone.manager, lone.redis.port, both);
  if (worker !== null && fault === "deaf") worker.answers = false;
  if (fault === "adrift") {
    await stage.circuit();
    await lone.redis.stop();
    await until(async () => (await stage.send("isReady", {})).status === 503);
  }
  return {
    stage,
    workerApi: "",
    ...(fault === "locked" ? { during: () => locked(lone.database) } : {}),
    async stop() {
      await worker?.stop();
      await lone.stop();
    },
  };
}

async function locked(database: string): Promise<AsyncDisposable> {
  const lock = await holdLock(database);
  return { [Symbol.asyncDispose]: () => lock.release() };
}
