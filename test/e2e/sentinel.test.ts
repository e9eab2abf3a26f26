/**
 * Redis under Sentinel: the services are started from the files of an installation of the original, and their master
 * dies, steps down or falls silent. Apps go on, new ones open again, and their use is written to the new master.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reason } from "../../shared/failure.ts";
import { LIVE_DB } from "../../shared/live/redis.ts";
import { liveKeys } from "../../shared/live/live.ts";
import { startApp } from "../support/app.ts";
import {
  startInstalledCoordinator,
  startInstalledWorker,
  written,
  type InstalledCoordinator,
} from "../support/installed.ts";
import { startSentinel, type SentinelGroup } from "../support/sentinel.ts";
import { until } from "../support/until.ts";

const PASSWORD = String(written("coordinator-sentinel.toml", "redis.password"));

const stack = new AsyncDisposableStack();
let redis: SentinelGroup;
let coordinator: InstalledCoordinator;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-failover-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  redis = await startSentinel(PASSWORD);
  stack.defer(() => redis.stop());
  const sentinel = redis.sentinels.map((port) => `127.0.0.1:${port}`).join(",");
  coordinator = await startInstalledCoordinator("coordinator-sentinel.toml", directory, { "redis.sentinel": sentinel });
  stack.defer(async () => void (await coordinator.service.stop("SIGKILL")));
  const { service } = await startInstalledWorker("worker-sentinel.toml", coordinator, { "redis.sentinel": sentinel });
  stack.defer(async () => void (await service.stop("SIGKILL")));
}, 120_000);

beforeEach(() => redis.heal(), 120_000);

afterAll(() => stack.disposeAsync());

interface Visited {
  get(): Promise<number>;
  /** Resolves when these servers know of every request that reached the app. */
  counted(...servers: number[]): Promise<void>;
}

/** Opens an app of its own, and asks it for a page. */
async function visit(): Promise<Visited> {
  const app = startApp();
  stack.defer(() => app.stop());
  const { origin, cookie, circuitId } = await coordinator.manager.enter({ kernel_port: app.port });
  const visited = {
    get: async () => (await fetch(origin, { headers: { cookie } })).status,
    counted: async (...servers: number[]) => {
      const wanted = servers.map(() => String(app.requests.length));
      const told = () => Promise.all(servers.map((port) => requests(port, circuitId)));
      const isTold = async () => Bun.deepEquals(await told(), wanted);
      await until(isTold).catch(async () => expect(await told()).toEqual(wanted));
    },
  };
  expect(await visited.get()).toBe(200);
  return visited;
}

/** What a server says of a circuit's requests. */
async function requests(server: number, circuitId: string): Promise<string> {
  const told = redis.ask(server, LIVE_DB, "GET", liveKeys.circuitRequests(circuitId));
  return told.then(String, reason);
}

/** An app that was used, and the master that will go. What its replica has not heard of yet would be lost with it. */
async function usedBefore(): Promise<{ before: number; old: Visited }> {
  const before = await redis.master();
  const old = await visit();
  await old.counted(...redis.servers);
  return { before, old };
}

test("a master that dies is followed", async () => {
  const { before, old } = await usedBefore();
  await redis.signal(before, "SIGKILL");
  // Running apps need no Redis.
  expect(await old.get()).toBe(200);
  const after = await redis.master(before);
  const fresh = await visit();
  expect(await old.get()).toBe(200);
  await Promise.all([old.counted(after), fresh.counted(after)]);
}, 120_000);

test("a master that steps down while it lives is followed", async () => {
  const { old } = await usedBefore();
  const after = await redis.failover();
  expect(await old.get()).toBe(200);
  const fresh = await visit();
  await Promise.all([old.counted(after), fresh.counted(after)]);
}, 120_000);

test("a master that falls silent is followed", async () => {
  const { before, old } = await usedBefore();
  await redis.signal(before, "SIGSTOP");
  const after = await redis.master(before);
  const fresh = await visit();
  expect(await old.get()).toBe(200);
  await Promise.all([old.counted(after), fresh.counted(after)]);
}, 120_000);

test("a Sentinel that falls silent keeps nobody from the others", async () => {
  const { before, old } = await usedBefore();
  await redis.signal(redis.sentinels[0] ?? 0, "SIGSTOP");
  await redis.signal(before, "SIGKILL");
  const after = await redis.master(before);
  const fresh = await visit();
  await Promise.all([old.counted(after), fresh.counted(after)]);
}, 120_000);
