/** A coordinator and a worker as processes that are started again with other secrets, on the same addresses and database. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Manager } from "./manager.ts";
import { freePort, freeRange } from "./ports.ts";
import { startRedis, type RedisServer } from "./redis.ts";
import { spawnService, type Service } from "./spawned.ts";
import { coordinatorToml, workerToml } from "./toml.ts";

/** Keys of `[secrets]`; an empty text leaves one out that the file has. */
export type Secrets = Record<string, string | readonly string[]>;

export interface SecretSite {
  redis: RedisServer;
  /** What all processes have logged so far. */
  lines(): Record<string, unknown>[];
  /** Who calls with this secret. */
  manager(secret: string): Manager;
  /** Resolves when it is up. */
  startCoordinator(secrets: Secrets): Promise<void>;
  /** Resolves when its circuits are known. */
  startWorker(secrets: Secrets): Promise<void>;
  /** Ends the process at once, as a crash does. */
  kill(which: "coordinator" | "worker"): Promise<void>;
  stop(): Promise<void>;
}

export const AUTHORITY = "worker-1";

/** A node that was killed counts for half of this. Seconds. */
const HEARTBEAT_TIMEOUT = 12;
/** How long a call may wait for a worker that is being started on a busy machine. Seconds. */
const ACK_TIMEOUT = 60;

export async function openSecretSite(): Promise<SecretSite> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-secrets-"));
  const redis = await startRedis();
  const [port, api, low] = [await freePort(), await freePort(), await freeRange(PORTS)];
  const files = { coordinator: join(directory, "coordinator.toml"), worker: join(directory, "worker.toml") };
  const bind_addr = `127.0.0.1:${port}`;
  const coordinator = { bind_addr, circuit_ack_timeout: ACK_TIMEOUT, worker_heartbeat_timeout: HEARTBEAT_TIMEOUT };
  writeFileSync(files.coordinator, coordinatorToml(join(directory, "db"), { redisPort: redis.port, coordinator }));
  const settings = { redisPort: redis.port, worker: { authority: AUTHORITY, api_bind_addr: `127.0.0.1:${api}` } };
  writeFileSync(files.worker, workerToml(`http://127.0.0.1:${port}`, low, PORTS, settings));
  const started: Service[] = [];
  const running: Partial<Record<"coordinator" | "worker", Service>> = {};

  async function start(which: "coordinator" | "worker", secrets: Secrets, msg: string): Promise<void> {
    const service = spawnService(`${which}/main.ts`, ["--config", files[which]], { env: variables(which, secrets) });
    started.push(service);
    running[which] = service;
    await service.said(msg);
  }

  return {
    redis,
    lines: () => started.flatMap(({ lines }) => lines),
    manager: (secret) => new Manager(`http://127.0.0.1:${port}`, secret),
    startCoordinator: (secrets) => start("coordinator", secrets, "coordinator is up"),
    startWorker: (secrets) => start("worker", secrets, "circuits are known"),
    kill: async (which) => void (await running[which]?.stop("SIGKILL")),
    async stop() {
      await Promise.all(started.map((service) => service.stop("SIGKILL")));
      await redis.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

// --- internal ---

const PORTS = 60;

function variables(which: string, secrets: Secrets): Record<string, string> {
  const prefix = `APP_PROXY_${which.toUpperCase()}__SECRETS__`;
  return Object.fromEntries(
    Object.entries(secrets).map(([key, value]) => [`${prefix}${key.toUpperCase()}`, [value].flat().join(",")]),
  );
}
