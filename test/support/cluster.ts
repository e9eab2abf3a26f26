/** A coordinator and a worker inside the test's process: real SQLite file, real sockets, in-process bus or real Redis. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbedded, type Embedded } from "../../scripts/run/embedded.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { createShutdown } from "../../shared/runtime/process.ts";
import { Manager } from "./manager.ts";
import { freeRange } from "./ports.ts";
import { coordinatorToml, workerToml, type ClusterSettings } from "./toml.ts";

export interface Cluster extends Embedded {
  manager: Manager;
  /** Scheme, host and port of the worker's own API. */
  workerApi: string;
  ports: [low: number, high: number];
  /** The coordinator's SQLite file. */
  database: string;
  stop(): Promise<void>;
}

export async function startCluster(settings: ClusterSettings & { ports?: number } = {}): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-test-"));
  const database = join(directory, "db.sqlite3");
  const count = settings.ports ?? 8;
  const low = await freeRange(count);
  const shutdown = createShutdown();
  shutdown.add(() => rmSync(directory, { recursive: true, force: true }));
  const embedded = await startEmbedded({
    shutdown,
    coordinator: { source: "coordinator of the test", toml: coordinatorToml(database, settings) },
    worker: { source: "worker of the test", toml: workerToml("http://127.0.0.1:1", low, count, settings) },
    env: {},
    redis: settings.redisPort !== undefined,
    log: silentLog(),
  });
  return {
    ...embedded,
    manager: new Manager(embedded.coordinator.baseUrl),
    workerApi: `http://127.0.0.1:${embedded.worker.apiPort}`,
    ports: [low, low + count - 1],
    database,
    stop: () => shutdown.run(),
  };
}
