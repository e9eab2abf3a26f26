/** The worker of a stage: inside the test's process, or spawned as an operator starts it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { pino } from "pino";
import { createCodec } from "../../shared/protocol/envelope.ts";
import { LIVE_DB } from "../../shared/live/redis.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { memoryMessengers, redisMessengers, type Messengers } from "../../shared/redis/messengers.ts";
import { createShutdown, type Shutdown } from "../../shared/runtime/process.ts";
import { loadWorkerConfig } from "../../worker/config.ts";
import type { Engine } from "../../worker/seam/engine.ts";
import { startWorker } from "../../worker/worker.ts";
import { startFakeCoordinator, type FakeCoordinator } from "../support/fake-coordinator.ts";
import { API_SECRET } from "../support/manager.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnService } from "../support/spawned.ts";
import { workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { ENGINES } from "../../worker/compose/engines.ts";
import { DOMAIN, type Shape, type StageOptions } from "./shapes.ts";

export interface Place {
  coordinator: FakeCoordinator;
  redis: RedisServer | null;
  ports: { low: number; count: number };
  wildcardPort: number;
  /** Bytes of memory of the worker's process. */
  rss: () => number;
  /** Open file descriptors of the worker's process. */
  fds: () => number;
  pid: number;
  /** The worker's log so far. */
  lines: Record<string, unknown>[];
  /** The port of the worker's own API. */
  apiPort: () => number;
  /** The number under a key of the live data, or null. */
  live: (key: string) => Promise<number | null>;
  /** Ends the worker as SIGTERM does and leaves the rest. Gives its exit code; null in process. */
  stopWorker: () => Promise<number | null>;
  stop: () => Promise<void>;
}

/** What differs between the two places. */
type Run = Pick<Place, "pid" | "lines" | "stopWorker">;

export async function startPlace(shape: Shape, options: StageOptions): Promise<Place> {
  const shutdown = createShutdown();
  const redis = shape.place === "spawned" || options.redis === true ? await startRedis() : null;
  if (redis !== null) shutdown.add(() => redis.stop());
  const messengers = messengersOf(redis);
  const codec = createCodec(API_SECRET, false);
  const ours = messengers(codec);
  shutdown.add(() => ours.close());
  const coordinator = await startFakeCoordinator(ours.bus, { dated: options.now === undefined });
  shutdown.add(() => coordinator.stop());
  const ports = { low: await freeRange(options.ports ?? 64), count: options.ports ?? 64 };
  const wildcardPort = await freePort();
  const toml = tomlOf(shape, options, { url: coordinator.url, redis, ...ports, wildcardPort });
  const run =
    shape.place === "spawned"
      ? await spawned(toml, options.files, shutdown)
      : await inProcess(ENGINES[shape.engine], toml, messengers, options.now ?? Date.now, shutdown);
  // Until events are heard a new circuit would wait for the next heartbeat.
  await until(() => isHealthy(coordinator), 30_000, "the worker to be healthy");
  const reader = redis === null ? null : new Redis(redis.port, "127.0.0.1", { db: LIVE_DB });
  reader?.on("error", () => undefined);
  shutdown.add(() => reader?.disconnect());
  return {
    ...run,
    coordinator,
    redis,
    ports,
    wildcardPort,
    rss: () => Number(readFileSync(`/proc/${run.pid}/statm`, "utf8").split(" ")[1]) * 4096,
    fds: () => readdirSync(`/proc/${run.pid}/fd`).length,
    apiPort: () => coordinator.registrations.at(-1)?.api_port ?? 0,
    async live(key) {
      if (reader === null) throw new Error("live data can be read only with { redis: true }");
      const value = await reader.get(key);
      return value === null ? null : Number(value);
    },
    stop: () => shutdown.run(),
  };
}

// --- internal ---

async function isHealthy({ registrations }: FakeCoordinator): Promise<boolean> {
  const { api_port: port, tls_listen: tls } = registrations.at(-1) ?? {};
  const url = `${tls === true ? "https" : "http"}://127.0.0.1:${port}/health`;
  const health = await fetch(url, { tls: { rejectUnauthorized: false } });
  return ((await health.json()) as { status: string }).status === "ok";
}

function messengersOf(redis: RedisServer | null): (codec: ReturnType<typeof createCodec>) => Messengers {
  if (redis === null) return memoryMessengers(silentLog());
  const addr = { host: "127.0.0.1", port: redis.port };
  const settings = { addr, sentinel: null, service_name: "", password: "" };
  return (codec) => redisMessengers(settings, codec, silentLog());
}

function tomlOf(
  { engine, frontend }: Shape,
  { worker, sections = {} }: StageOptions,
  at: { url: string; redis: RedisServer | null; low: number; count: number; wildcardPort: number },
): string {
  const wildcard = {
    frontend_mode: "wildcard",
    wildcard_domain: { domain: DOMAIN, bind_addr: `127.0.0.1:${at.wildcardPort}` },
  };
  return workerToml(at.url, at.low, at.count, {
    redisPort: at.redis?.port,
    worker: { engine, ...(frontend === "wildcard" ? wildcard : {}), ...worker },
    sections,
  });
}

async function spawned(toml: string, files: number | undefined, shutdown: Shutdown): Promise<Run> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-contract-"));
  shutdown.add(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "worker.toml");
  writeFileSync(file, toml);
  const service = spawnService("worker/main.ts", ["--config", file], files === undefined ? {} : { files });
  shutdown.add(() => service.stop("SIGKILL"));
  await service.said("circuits are known");
  return { pid: service.process.pid, lines: service.lines, stopWorker: () => service.stop() };
}

async function inProcess(
  engine: Engine,
  toml: string,
  messengers: (codec: ReturnType<typeof createCodec>) => Messengers,
  now: () => number,
  shutdown: Shutdown,
): Promise<Run> {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug" },
    { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const { values: config } = loadWorkerConfig("worker of the stage", toml, {});
  const { bus, live, close } = messengers(createCodec(API_SECRET, false));
  shutdown.add(close);
  const worker = startWorker({ config, engine, bus, live, log, now, newId: () => crypto.randomUUID() });
  let stopping: Promise<void> | null = null;
  const stop = () => (stopping ??= worker.stop());
  shutdown.add(stop);
  await worker.ready;
  return { pid: process.pid, lines, stopWorker: () => stop().then(() => null) };
}
