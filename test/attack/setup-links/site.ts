/**
 * What setup links go through: a coordinator, a Redis, a worker of two nodes, and another worker, all of them the product's,
 * with addresses of their own on loopback. The nodes' clock can be moved.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { redisMessengers } from "../../../shared/redis/messengers.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { createShutdown, type Shutdown } from "../../../shared/runtime/process.ts";
import { ENGINES } from "../../../worker/compose/engines.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { startWorker } from "../../../worker/worker.ts";
import { DOMAIN, type Shape } from "../../contract/shapes.ts";
import { startApp, type App } from "../../support/app.ts";
import { API_SECRET, Manager } from "../../support/manager.ts";
import { freePort, freeRange } from "../../support/ports.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { coordinatorToml, workerToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

/** One node, by the address that it listens at. Circuits have the same ports at each. */
export type Node = string;

export interface Site {
  shape: Pick<Shape, "engine" | "frontend">;
  manager: Manager;
  redis: RedisServer;
  /** Starts the app of a new session: two sessions never have one address. */
  kernel(): App;
  /** How many requests have reached apps. */
  seen(): number;
  /** Of the worker for the domain "ours". */
  nodes: [Node, Node];
  /** Of the worker for the domain "theirs". */
  stranger: Node;
  apiPort: number;
  /** Moves the nodes' clock so far on from now, in seconds. */
  wait(seconds: number): void;
  stop(): Promise<void>;
}

const PORTS = 128;

export async function startSite(shape: Site["shape"]): Promise<Site> {
  const shutdown = createShutdown();
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-links-"));
  shutdown.add(() => rmSync(directory, { recursive: true, force: true }));
  const redis = await startRedis();
  shutdown.add(() => redis.stop());
  const apps: App[] = [];
  shutdown.add(() => Promise.all(apps.map((app) => app.stop())));
  const baseUrl = await startOurCoordinator(join(directory, "db.sqlite3"), redis.port, shutdown);
  const relay = undated(baseUrl);
  shutdown.add(() => relay.stop(true));
  let moved = 0;
  const [low, apiPort, wildcardPort] = [await freeRange(PORTS), await freePort(), await freePort()];

  async function startNode(node: Node, first: Node, domain: string): Promise<void> {
    const wildcard = {
      frontend_mode: "wildcard",
      wildcard_domain: { domain: `.${domain}${DOMAIN}`, bind_addr: `${node}:${wildcardPort}` },
    };
    const toml = workerToml(`http://127.0.0.1:${relay.port}`, low, PORTS, {
      redisPort: redis.port,
      worker: {
        authority: domain,
        engine: shape.engine,
        api_bind_addr: `${node}:${apiPort}`,
        // Both nodes are one worker: behind one address, which is the first one's here.
        api_advertised_addr: `${first}:${apiPort}`,
        app_filters: [{ key: "session.domain_name", value: domain }],
        filtered_apps_only: true,
        port_proxy: { bind_host: node, advertised_host: first },
        ...(shape.frontend === "wildcard" ? wildcard : {}),
      },
    });
    const { values: config } = loadWorkerConfig(`node ${node}`, toml, {});
    const { bus, live, close } = redisMessengers(config.redis, createCodec(API_SECRET, false), silentLog());
    shutdown.add(close);
    const engine = ENGINES[shape.engine];
    const now = () => Date.now() + moved * 1000;
    const worker = startWorker({ config, engine, bus, live, log: silentLog(), now, newId: () => crypto.randomUUID() });
    shutdown.add(() => worker.stop());
    await worker.ready;
    await until(() => bus.healthy() && live.healthy(), 30_000, "the node's Redis");
  }

  const [one, two, other] = corner();
  await startNode(one, one, "ours");
  await startNode(two, one, "ours");
  await startNode(other, other, "theirs");
  return {
    shape,
    manager: new Manager(baseUrl),
    redis,
    kernel() {
      const app = startApp();
      apps.push(app);
      return app;
    },
    seen: () => apps.reduce((sum, { requests }) => sum + requests.length, 0),
    nodes: [one, two],
    stranger: other,
    apiPort,
    wait: (seconds) => void (moved = seconds),
    stop: () => shutdown.run(),
  };
}

// --- internal ---

let sites = 0;

/** Loopback is a whole /8. */
function corner(): [Node, Node, Node] {
  const at = `127.${64 + (process.pid % 128)}.${++sites}`;
  return [`${at}.1`, `${at}.2`, `${at}.3`];
}

/** Gives its base URL. */
async function startOurCoordinator(path: string, redisPort: number, shutdown: Shutdown): Promise<string> {
  const config = loadCoordinatorConfig("coordinator of the site", coordinatorToml(path, { redisPort }), {}).values;
  const newId = () => crypto.randomUUID();
  const database = openDb(config.db.path, newId);
  shutdown.add(() => database.close());
  const messengers = redisMessengers(config.redis, createCodec(API_SECRET, false), silentLog());
  shutdown.add(() => messengers.close());
  const { bus, live } = messengers;
  const coordinator = await startCoordinator({ config, database, bus, live, log: silentLog(), now: Date.now, newId });
  shutdown.add(() => coordinator.stop());
  await until(() => bus.healthy() && live.healthy(), 30_000, "the coordinator's Redis");
  return coordinator.baseUrl;
}

/** The same service without a clock: a worker would set its own, which the test moves, right by it. */
function undated(baseUrl: string) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      const body = method === "GET" || method === "HEAD" ? null : await request.arrayBuffer();
      const answer = await fetch(`${baseUrl}${pathname}${search}`, { method, headers, body, redirect: "manual" });
      const content = answer.status === 204 ? null : await answer.arrayBuffer();
      const told = new Headers(answer.headers);
      told.delete("content-encoding");
      told.set("Date", "unknown");
      return new Response(content, { status: answer.status, headers: told });
    },
  });
}
