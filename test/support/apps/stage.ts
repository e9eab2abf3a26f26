/** Where real apps are tried: Redis, Chromium and a coordinator with a worker for each way circuits are reached. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { closedPage, startBrowser } from "../browser.ts";
import { freePort } from "../ports.ts";
import { startRedis } from "../redis.ts";
import { spawnCluster, type SpawnedCluster } from "../spawned.ts";

/** A port each, or a name each under a domain that browsers resolve to loopback by themselves. */
export const FRONTENDS = ["port", "wildcard"] as const;
type Frontend = (typeof FRONTENDS)[number];

const DOMAIN = ".apps.localhost";

export type Visit = Awaited<ReturnType<typeof closedPage>> & {
  /** Scheme, host and port of the circuit. */
  origin: string;
  sessionId: string;
};

interface VisitWish {
  app: string;
  port: number;
  path: string;
  /** More parameters of /v2/proxy/auth. */
  more?: Record<string, string>;
  /** An earlier visit: its page goes there, to an app of its session. */
  after?: Visit;
}

export interface Stage {
  /** For the app's files; removed at the end. */
  directory: string;
  /** A person opens the app that listens on this port of the session, at this path. */
  visit(frontend: Frontend, app: VisitWish): Promise<Visit>;
  /** Undone at the end, in reverse order, whatever happened before. */
  defer: (step: () => Promise<void> | void) => void;
  stop: () => Promise<void>;
}

export async function setStage(): Promise<Stage> {
  const stack = new AsyncDisposableStack();
  try {
    return await build(stack);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

// --- internal ---

async function build(stack: AsyncDisposableStack): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-apps-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const redis = await startRedis();
  stack.defer(() => redis.stop());
  const browser = await startBrowser();
  stack.defer(() => browser.close());
  const clusters = {} as Record<Frontend, SpawnedCluster>;
  for (const frontend of FRONTENDS) {
    const started = await spawnCluster({ redisPort: redis.port, worker: await section(frontend) });
    stack.defer(() => started.stop());
    clusters[frontend] = started;
  }
  return {
    directory,
    visit: (frontend, app) => visit(clusters[frontend], browser, app),
    defer: (step) => stack.defer(step),
    stop: () => stack.disposeAsync(),
  };
}

/** What the worker's configuration says about it. */
async function section(frontend: Frontend): Promise<Record<string, unknown>> {
  if (frontend === "port") return {};
  const wildcard = { domain: DOMAIN, bind_addr: `127.0.0.1:${await freePort()}` };
  return { frontend_mode: "wildcard", wildcard_domain: wildcard };
}

async function visit(
  { manager }: SpawnedCluster,
  browser: Browser,
  { app, port, path, more, after }: VisitWish,
): Promise<Visit> {
  const { token, sessionId } = await manager.conf({
    kernel_port: port,
    ...(after === undefined ? {} : { session_id: after.sessionId }),
  });
  const closed = after ?? (await closedPage(browser));
  const query = new URLSearchParams({ token, session_id: sessionId, app, protocol: "http", redirect: path, ...more });
  await closed.page.goto(`${manager.baseUrl}/v2/proxy/auth?${query.toString()}`);
  return { ...closed, sessionId, origin: new URL(closed.page.url()).origin };
}
