/** Our worker in the test's process, configured for a cluster with the original in it. Real Redis, as main.ts connects it. */
import { pino } from "pino";
import { COORDINATOR_EVENTS, createCodec } from "../../shared/protocol/envelope.ts";
import { redisMessengers } from "../../shared/redis/messengers.ts";
import { loadWorkerConfig } from "../../worker/config.ts";
import { bunEngine } from "../../worker/engine/bun/engine.ts";
import { startWorker, type Worker } from "../../worker/worker.ts";
import type { RedisServer } from "../support/redis.ts";
import { workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";

export interface OurWorker extends Worker {
  /** What it has logged. */
  lines: Record<string, unknown>[];
  health(): Promise<Record<string, unknown>>;
}

export interface OurWorkerSettings {
  redis: RedisServer;
  coordinatorUrl: string;
  /** Its first port, of as many as `PORTS`. */
  low: number;
  /** Keys of `[proxy_worker]`. */
  worker?: Record<string, unknown>;
  acceptUnsigned?: boolean;
}

export const PORTS = 4;

/** A worker as main.ts makes one, set up for a cluster with the original in it. */
export function startOurWorker({
  redis,
  coordinatorUrl,
  low,
  worker,
  acceptUnsigned = true,
}: OurWorkerSettings): OurWorker {
  const toml = workerToml(coordinatorUrl, low, PORTS, {
    redisPort: redis.port,
    worker: { heartbeat_period: 0.1, ...worker },
    permit: { accept_legacy: true },
    events: { accept_unsigned: acceptUnsigned },
  });
  const config = loadWorkerConfig("test", toml, {}).values;
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug" },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const codec = createCodec(config.secrets.api_secret, config.events.accept_unsigned, COORDINATOR_EVENTS);
  const { bus, live, close } = redisMessengers(config.redis, codec, log);
  const started = startWorker({
    config,
    engine: bunEngine,
    bus,
    live,
    log,
    now: Date.now,
    newId: () => crypto.randomUUID(),
  });
  let stopping: Promise<void> | null = null;
  return {
    ...started,
    lines,
    health: async () =>
      (await (await fetch(`http://127.0.0.1:${started.apiPort}/health`)).json()) as Record<string, unknown>,
    // A test may have stopped it before its end.
    stop: () => (stopping ??= started.stop().then(close)),
  };
}

/** Resolves when it serves and hears events. */
export async function whole(worker: OurWorker): Promise<OurWorker> {
  await worker.ready;
  await until(async () => (await worker.health())["status"] === "ok");
  return worker;
}
