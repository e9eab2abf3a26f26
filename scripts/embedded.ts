/**
 * Coordinator and worker in one process, on SQLite and, unless Redis is asked for, the in-process bus.
 * Used by all-in-one and quickstart.
 */
import { createCodec } from "../shared/bus/envelope.ts";
import { loadCoordinatorConfig, type CoordinatorConfig } from "../coordinator/config.ts";
import { startCoordinator, type Coordinator } from "../coordinator/coordinator.ts";
import { openDb } from "../coordinator/db/open.ts";
import type { Log } from "../shared/log.ts";
import { memoryMessengers, redisMessengers, type Messengers } from "../shared/messengers.ts";
import { loadWorkerConfig, type WorkerConfig } from "../worker/config.ts";
import { bunEngine } from "../worker/engine/bun.ts";
import { startWorker, type Worker } from "../worker/worker.ts";

/** Texts of the two configuration files, and the environment that overrides them. */
export interface EmbeddedOptions {
  coordinator: { source: string; toml: string };
  worker: { source: string; toml: string };
  env: Record<string, string | undefined>;
  /** Use Redis as configured, instead of the in-process bus. */
  redis: boolean;
  log: Log;
}

export interface Embedded {
  coordinator: Coordinator;
  worker: Worker;
  config: { coordinator: CoordinatorConfig; worker: WorkerConfig };
  /** Stops both, worker first. */
  stop(): Promise<void>;
}

/** Starts both and resolves when the worker serves. Rejects with what could not be had; nothing is left running then. */
export async function startEmbedded({ coordinator, worker, env, redis, log }: EmbeddedOptions): Promise<Embedded> {
  const left = loadCoordinatorConfig(coordinator.source, coordinator.toml, env).values;
  const right = loadWorkerConfig(worker.source, worker.toml, env).values;
  const inProcess = memoryMessengers(log);
  const messengers = (config: CoordinatorConfig | WorkerConfig): Messengers => {
    const codec = createCodec(config.secrets.api_secret, config.events.accept_unsigned);
    return redis ? redisMessengers(config.redis, codec, log) : inProcess(codec);
  };
  const common = { log, now: Date.now, newId: () => crypto.randomUUID() };
  const stops: (() => unknown)[] = [];
  const stop = async () => {
    for (const one of stops.splice(0).toReversed()) await one();
  };
  try {
    const database = openDb(left.db.path, common.newId);
    stops.push(() => database.close());
    const leftSide = messengers(left);
    stops.push(() => leftSide.close());
    const first = await startCoordinator({ ...common, config: left, database, bus: leftSide.bus, live: leftSide.live });
    stops.push(() => first.stop());
    const rightSide = messengers(right);
    stops.push(() => rightSide.close());
    // Port 0 lets the system choose the coordinator's port; the worker is told which it was.
    const endpoint =
      left.proxy_coordinator.bind_addr.port === 0 ? first.baseUrl : right.proxy_worker.coordinator_endpoint;
    const config = { ...right, proxy_worker: { ...right.proxy_worker, coordinator_endpoint: endpoint } };
    const second = startWorker({ ...common, config, engine: bunEngine, bus: rightSide.bus, live: rightSide.live });
    stops.push(() => second.stop());
    await second.ready;
    return { coordinator: first, worker: second, config: { coordinator: left, worker: config }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
