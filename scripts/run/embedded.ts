/**
 * Coordinator and worker in one process, on SQLite and, unless Redis is asked for, the in-process bus.
 * Used by all-in-one and quickstart.
 */
import { createCodec, type EventKeys } from "../../shared/protocol/envelope.ts";
import { loadCoordinatorConfig, type CoordinatorConfig } from "../../coordinator/config.ts";
import { startCoordinator, type Coordinator } from "../../coordinator/coordinator.ts";
import { openDb } from "../../coordinator/store/open.ts";
import type { Deps } from "../../coordinator/deps.ts";
import { eventKeys as coordinatorKeys } from "../../coordinator/secrets.ts";
import { createPlatformChannel } from "../../coordinator/platform/channel.ts";
import { hostPort } from "../../shared/values.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { memoryMessengers, redisMessengers, type Messengers } from "../../shared/redis/messengers.ts";
import type { Shutdown } from "../../shared/runtime/process.ts";
import { loadWorkerConfig } from "../../worker/config.ts";
import type { WorkerConfig } from "../../worker/config/table.ts";
import { ENGINES } from "../../worker/compose/engines.ts";
import { eventKeys as workerKeys } from "../../worker/compose/secrets.ts";
import { startWorker, type Worker } from "../../worker/worker.ts";

/** Texts of the two configuration files, and the environment that overrides them. */
export interface EmbeddedOptions {
  coordinator: { source: string; toml: string };
  worker: { source: string; toml: string };
  env: Record<string, string | undefined>;
  /** Use Redis as configured, instead of the in-process bus. */
  redis: boolean;
  log: Log;
  /** Gets a step for everything that is started, as soon as it is. */
  shutdown: Shutdown;
}

export interface Embedded {
  coordinator: Coordinator;
  worker: Worker;
  config: { coordinator: CoordinatorConfig; worker: WorkerConfig };
}

/** Starts both and resolves when the worker serves. Rejects with what could not be had; the caller runs `shutdown` then. */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { env, log, shutdown } = options;
  const left = loadCoordinatorConfig(options.coordinator.source, options.coordinator.toml, env).values;
  const right = loadWorkerConfig(options.worker.source, options.worker.toml, env).values;
  const messengers = messengersOf(options);
  const common = { log, now: Date.now, newId: () => crypto.randomUUID() };

  const database = openDb(left.db.path, common.newId);
  shutdown.add(() => database.close());
  const coordinator = await startCoordinator({
    ...common,
    config: left,
    database,
    ...messengers(left, coordinatorKeys(left)),
    ...platformOf(left, options),
  });
  shutdown.add(() => coordinator.stop());
  const config = {
    ...right,
    proxy_worker: {
      ...right.proxy_worker,
      coordinator_endpoint: ownEndpoint(left, coordinator),
      // Its coordinator is never away.
      snapshot_dir: "",
    },
  };
  const worker = startWorker({
    ...common,
    config,
    engine: ENGINES[config.proxy_worker.engine],
    ...messengers(right, workerKeys(right)),
  });
  shutdown.add(() => worker.stop());
  await worker.ready;
  return { coordinator, worker, config: { coordinator: left, worker: config } };
}

// --- internal ---

function messengersOf({ redis, log, shutdown }: EmbeddedOptions) {
  const inProcess = memoryMessengers(log);
  return (config: CoordinatorConfig | WorkerConfig, keys: EventKeys): Pick<Messengers, "bus" | "live"> => {
    const codec = createCodec(keys, config.events.accept_unsigned);
    const { bus, live, close } = redis ? redisMessengers(config.redis, codec, log) : inProcess(codec);
    shutdown.add(close);
    return { bus, live };
  };
}

/** Without Redis there is no platform to listen to. */
function platformOf(config: CoordinatorConfig, { redis, log, shutdown }: EmbeddedOptions): Pick<Deps, "platform"> {
  if (!redis) return {};
  const platform = createPlatformChannel(config, log);
  shutdown.add(() => platform.close());
  return { platform };
}

/** The worker's coordinator is the one beside it, wherever that listens. */
function ownEndpoint(
  { proxy_coordinator: { bind_addr: bind, tls_listen: tls } }: CoordinatorConfig,
  { address }: Coordinator,
): string {
  const host = bind.host === "0.0.0.0" || bind.host === "::" ? "127.0.0.1" : bind.host;
  return `${tls ? "https" : "http"}://${hostPort({ host, port: address.port })}`;
}
