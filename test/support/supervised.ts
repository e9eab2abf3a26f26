/** A coordinator with workers under their supervisors, as spawned processes: for what must go on while they are replaced. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startApp } from "./app.ts";
import { Manager } from "./manager.ts";
import { freePort, freeRange } from "./ports.ts";
import { startRedis, type RedisServer } from "./redis.ts";
import { spawnService, type Service } from "./spawned.ts";
import { coordinatorToml, workerToml } from "./toml.ts";
import { until } from "./until.ts";

const STOP_SECONDS = 2;

/** A replacement under load takes half a minute and more on a machine that has much else to do. Milliseconds. */
const RELOAD_MS = 120_000;

export interface Configured {
  file: string;
  apiPort: number;
  authority: string;
}

export interface Supervised extends Configured {
  service: Service;
}

/** Lines of the log. */
export const told = ({ service }: { service: Service }, msg: string) =>
  service.lines.filter((line) => line["msg"] === msg);

export class Site {
  readonly directory: string;
  readonly #stack = new AsyncDisposableStack();
  readonly redis: RedisServer;
  readonly manager: Manager;
  /** The coordinator's process. */
  readonly coordinator: Service;

  readonly #supervised = new Map<string, Service>();

  private constructor(directory: string, redis: RedisServer, manager: Manager, coordinator: Service) {
    this.directory = directory;
    this.redis = redis;
    this.manager = manager;
    this.coordinator = coordinator;
  }

  static async start(): Promise<Site> {
    const redis = await startRedis();
    const port = await freePort();
    const directory = mkdtempSync(join(tmpdir(), "app-proxy-upgrade-"));
    const file = join(directory, "coordinator.toml");
    const coordinator = { bind_addr: `127.0.0.1:${port}`, circuit_ack_timeout: 3, worker_heartbeat_timeout: 6 };
    writeFileSync(file, coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator }));
    const service = spawnService("coordinator/main.ts", ["--config", file]);
    const site = new Site(directory, redis, new Manager(`http://127.0.0.1:${port}`), service);
    site.defer(() => redis.stop());
    site.defer(() => rmSync(directory, { recursive: true, force: true }));
    site.defer(async () => void (await service.stop("SIGKILL")));
    await service.said("coordinator is up");
    return site;
  }

  /** Adds what is done at the end, the last one first. */
  defer(step: () => unknown): void {
    this.#stack.defer(async () => void (await step()));
  }

  stop(): Promise<void> {
    return this.#stack.disposeAsync();
  }

  /** A kernel with an app of its own: an address is one session's. */
  kernel(): { kernel_port: number } {
    const app = startApp();
    this.defer(() => app.stop());
    return { kernel_port: app.port };
  }

  /** A worker's file. Without a range of its own, of `ports` free ports. */
  async configure(authority: string, worker: Record<string, unknown> = {}, ports = 24): Promise<Configured> {
    const [apiPort, low] = [await freePort(), await freeRange(ports)];
    const file = join(this.directory, `${authority}.toml`);
    const own = { authority, api_bind_addr: `127.0.0.1:${apiPort}`, shutdown_timeout: STOP_SECONDS, ...worker };
    writeFileSync(file, workerToml(this.manager.baseUrl, low, ports, { redisPort: this.redis.port, worker: own }));
    return { file, apiPort, authority };
  }

  async supervise(authority: string, worker: Record<string, unknown> = {}, args: string[] = []): Promise<Supervised> {
    await this.#othersAreGone();
    const configured = await this.configure(authority, worker);
    const service = spawnService("worker/supervise.ts", [...args, "--config", configured.file]);
    this.#supervised.set(authority, service);
    this.defer(() => service.stop());
    await service.said("circuits are known");
    return { service, ...configured };
  }

  /** A worker that was killed counts as alive for some seconds: new circuits would go to it. */
  async #othersAreGone(): Promise<void> {
    const runs = (authority: unknown) => {
      const process = this.#supervised.get(String(authority))?.process;
      return process?.exitCode === null && process.signalCode === null;
    };
    const areGone = async () => {
      const { workers } = (await this.manager.api("GET", "/api/worker")).body as { workers: Record<string, unknown>[] };
      return workers.every(({ status, authority }) => status !== "ALIVE" || runs(authority));
    };
    await until(areGone, 30_000, "workers that were killed to be lost");
  }

  async nodesOf(authority: string): Promise<unknown> {
    const { workers } = (await this.manager.api("GET", "/api/worker")).body as { workers: Record<string, unknown>[] };
    return workers.find((worker) => worker["authority"] === authority)?.["nodes"];
  }
}

/** Replaces the worker; resolves when the old one has ended. */
export async function reload(supervised: Supervised): Promise<void> {
  const before = told(supervised, "old worker process has ended").length;
  supervised.service.process.kill("SIGHUP");
  const ended = await until(() => told(supervised, "old worker process has ended")[before], RELOAD_MS);
  expect(ended).toMatchObject({ code: 0 });
}
