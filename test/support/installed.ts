/**
 * Services started from the files of an installation of the original (test/fixtures/config), which are handed over as
 * they are. Environment variables replace what can't be had here: addresses, ports, the database's path and Redis.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { COORDINATOR_ENV } from "../../coordinator/config.ts";
import { isRecord } from "../../shared/values.ts";
import { envName } from "../../shared/config/load.ts";
import { WORKER_ENV } from "../../worker/config.ts";
import { Manager } from "./manager.ts";
import { freePort, freeRange } from "./ports.ts";
import { ROOT, spawnService, type Service } from "./spawned.ts";
import { until } from "./until.ts";

/** Values by dotted key, such as `redis.addr`. */
export type Overrides = Record<string, string>;

export interface InstalledCoordinator {
  service: Service;
  manager: Manager;
  url: string;
}

export interface InstalledWorker {
  service: Service;
  apiPort: number;
  /** Where wildcard traffic is taken. */
  wildcardPort: number;
}

/** Circuits' ports of a worker. */
const PORTS = 8;

/** The path of a file of the installation. */
export function installed(name: string): string {
  return join(ROOT, "test/fixtures/config", name);
}

/** What the file says under a dotted key in snake_case, whichever form the file is written in. */
export function written(name: string, key: string): unknown {
  const file: unknown = parse(readFileSync(installed(name), "utf8"));
  const inside = (at: unknown, part: string) =>
    isRecord(at) ? (at[part] ?? at[part.replaceAll("_", "-")]) : undefined;
  return key.split(".").reduce(inside, file);
}

/** Starts a coordinator from the file `name`; its Manager knows the file's secret. */
export async function startInstalledCoordinator(
  name: string,
  directory: string,
  redis: Overrides,
): Promise<InstalledCoordinator> {
  const address = `127.0.0.1:${await freePort()}`;
  const env = environment(COORDINATOR_ENV, {
    ...redis,
    "db.path": join(directory, "circuits.sqlite3"),
    "proxy_coordinator.bind_addr": address,
    "proxy_coordinator.advertised_addr": address,
  });
  const service = spawnService("coordinator/main.ts", ["--config", installed(name)], { env });
  await service.said("coordinator is up");
  const url = `http://${address}`;
  return { service, url, manager: new Manager(url, String(written(name, "secrets.api_secret"))) };
}

/** Starts a worker from the file `name`; resolves when it serves and hears events. */
export async function startInstalledWorker(
  name: string,
  coordinator: InstalledCoordinator,
  redis: Overrides,
): Promise<InstalledWorker> {
  const [apiPort, wildcardPort, low] = [await freePort(), await freePort(), await freeRange(PORTS)];
  const ports = `${low}-${low + PORTS - 1}`;
  const env = environment(WORKER_ENV, {
    ...redis,
    "proxy_worker.coordinator_endpoint": coordinator.url,
    "proxy_worker.api_bind_addr": `127.0.0.1:${apiPort}`,
    "proxy_worker.api_advertised_addr": `127.0.0.1:${apiPort}`,
    "proxy_worker.snapshot_dir": "",
    "proxy_worker.port_proxy.bind_host": "127.0.0.1",
    "proxy_worker.port_proxy.advertised_host": "127.0.0.1",
    "proxy_worker.port_proxy.bind_port_range": ports,
    "proxy_worker.port_proxy.advertised_port_range": ports,
    "proxy_worker.wildcard_domain.bind_addr": `127.0.0.1:${wildcardPort}`,
  });
  const service = spawnService("worker/main.ts", ["--config", installed(name)], { env });
  await until(() => isHealthy(name, service, apiPort), 30_000, `${name}: a worker that is healthy`);
  return { service, apiPort, wildcardPort };
}

// --- internal ---

/** Asked instead of read in the log, because not every file's level lets a worker say that it is up. */
async function isHealthy(name: string, { process }: Service, port: number): Promise<boolean> {
  if (process.exitCode !== null) throw new Error(`the worker of ${name} ended with ${process.exitCode}`);
  try {
    const health = await fetch(`http://127.0.0.1:${port}/health`);
    return ((await health.json()) as { status: string }).status === "ok";
  } catch {
    return false; // not listening yet
  }
}

function environment(prefix: string, overrides: Overrides): Record<string, string> {
  return Object.fromEntries(Object.entries(overrides).map(([key, value]) => [envName(prefix, key.split(".")), value]));
}
