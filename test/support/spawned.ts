/** Coordinator and worker as processes of their own, started as an operator starts them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, freeRange } from "./ports.ts";
import { Manager } from "./manager.ts";
import { startOutside, type Outside } from "./outside.ts";
import { coordinatorToml, workerToml, type ClusterSettings } from "./toml.ts";
import { until } from "./until.ts";

export const ROOT = join(import.meta.dir, "../..");

/** How long a service may take to say something on a busy machine; less than a test's limit. Milliseconds. */
const START_MS = 50_000;

/** A running service with its log lines. */
export interface Service {
  readonly process: Outside;
  readonly lines: Record<string, unknown>[];
  /** All that it wrote to standard error, once it has ended. */
  readonly stderr: Promise<string>;
  /** Resolves with the first line whose `msg` is this. */
  said(msg: string): Promise<Record<string, unknown>>;
  /** Ends it and gives its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number>;
}

interface SpawnOptions {
  env?: Record<string, string>;
  /** Where the project is. */
  root?: string;
  /** How many files it may have open (`ulimit -n`). */
  files?: number;
}

/** Runs a source file of the project with Bun. */
export function spawnService(
  file: string,
  args: string[],
  { env = {}, root = ROOT, files }: SpawnOptions = {},
): Service {
  const lines: Record<string, unknown>[] = [];
  const stderr = Promise.withResolvers<string>();
  let [errors, rest] = ["", ""];
  const limited = files === undefined ? [] : ["sh", "-c", `ulimit -n ${files} && exec "$0" "$@"`];
  const child = startOutside([...limited, process.execPath, join(root, file), ...args], {
    cwd: tmpdir(),
    env,
    read(stream, text) {
      if (stream === "stderr") {
        if (text === null) stderr.resolve(errors);
        else errors += text;
        return;
      }
      const parts = (rest + (text ?? "")).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) lines.push(JSON.parse(part) as Record<string, unknown>);
    },
  });
  return {
    process: child,
    lines,
    stderr: stderr.promise,
    said: (msg) =>
      until(
        async () => {
          const found = lines.find((line) => line["msg"] === msg);
          if (found === undefined && child.exitCode !== null)
            throw new Error(`${file} ended with ${child.exitCode}: ${await stderr.promise}`);
          return found;
        },
        START_MS,
        `${file} says "${msg}"`,
      ),
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      return child.exited;
    },
  };
}

export interface SpawnedCluster {
  manager: Manager;
  coordinator: Service;
  worker: Service;
  ports: [low: number, high: number];
  /** The coordinator's SQLite file. */
  database: string;
  startCoordinator(): Promise<void>;
  startWorker(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts both against a real Redis. Restarting gives the same addresses and database. */
export async function spawnCluster(
  settings: ClusterSettings & { redisPort: number; ports?: number; root?: string },
): Promise<SpawnedCluster> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-e2e-"));
  const count = settings.ports ?? 8;
  const low = await freeRange(count);
  const port = await freePort();
  const files = { coordinator: join(directory, "coordinator.toml"), worker: join(directory, "worker.toml") };
  const database = join(directory, "db.sqlite3");
  writeFileSync(
    files.coordinator,
    coordinatorToml(database, {
      ...settings,
      coordinator: { bind_addr: `127.0.0.1:${port}`, ...settings.coordinator },
    }),
  );
  // The same after a restart: where its API is is on record.
  const worker = { api_bind_addr: `127.0.0.1:${await freePort()}`, ...settings.worker };
  writeFileSync(files.worker, workerToml(`http://127.0.0.1:${port}`, low, count, { ...settings, worker }));
  const at = settings.root === undefined ? {} : { root: settings.root };
  const cluster = {
    manager: new Manager(`http://127.0.0.1:${port}`),
    ports: [low, low + count - 1] as [number, number],
    database,
    async startCoordinator() {
      cluster.coordinator = spawnService("coordinator/main.ts", ["--config", files.coordinator], at);
      await cluster.coordinator.said("coordinator is up");
    },
    async startWorker() {
      cluster.worker = spawnService("worker/main.ts", ["--config", files.worker], at);
      await cluster.worker.said("circuits are known");
    },
    async stop() {
      await Promise.all([cluster.worker.stop("SIGKILL"), cluster.coordinator.stop("SIGKILL")]);
      rmSync(directory, { recursive: true, force: true });
    },
  } as SpawnedCluster;
  await cluster.startCoordinator();
  await cluster.startWorker();
  return cluster;
}
