/**
 * The worker as a column of the traffic benchmarks: its process, started as in production, with a real Redis and a
 * stand-in for the coordinator that hands out circuits by the thousand. It speaks the coordinator's API, no more.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { permitCookieName } from "../../worker/access/permit-cookie.ts";
import { PermitAuthority } from "../../worker/access/permit.ts";
import { listenersAt } from "../../worker/listeners/linux-sockets.ts";
import { PERMIT_SECRET } from "../support/manager.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { ROOT } from "../support/spawned.ts";
import { workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { circuit, route, USER, WORKER } from "../support/values.ts";
import { CORES, startOn } from "./cores.ts";
import type { Peer } from "./proxies.ts";

export interface WorkerWish {
  /** The app's port. */
  upstream: number;
  protocol?: "http" | "tcp";
  /** "serve" unless it is named. */
  engine?: "serve" | "sockets";
  /** Number of circuits on one wildcard address. Without it: one circuit, on a port. */
  wildcard?: number;
  /** So many processes under a supervisor, on all cores. Without it one process, on the proxy's core. */
  processes?: number;
  /** As in the worker's file. */
  limits?: Record<string, number>;
  /** For Bun, before the file: profiling. */
  flags?: string[];
}

export interface WorkerPeer extends Peer {
  pid: number;
  /** What a person's browser sends to each circuit. */
  keys: { host: string; cookie: string }[];
}

/** As `bun run worker` starts it; the helpers' files say "debug". */
const BUN = [process.execPath, "--max-http-header-size=65536"];
const ENVIRONMENT = { BUN_CONFIG_MAX_HTTP_REQUESTS: "65000", APP_PROXY_WORKER__LOGGING__LEVEL: "info" };
const DOMAIN = ".apps.test";
const LIFETIME = 43_200;

export async function startWorkerPeer(wish: WorkerWish): Promise<WorkerPeer> {
  const port = wish.wildcard === undefined ? await freeRange(1) : await freePort();
  const circuits = makeCircuits(wish, port);
  const coordinator = standIn(circuits);
  const redis = await startRedis();
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-bench-worker-"));
  const file = join(directory, "worker.toml");
  const { engine = "serve", processes } = wish;
  const many = processes === undefined ? {} : { processes, api_bind_addr: `127.0.0.1:${await freePort()}` };
  const worker = { ...frontend(wish, port), engine, heartbeat_period: 10, limits: wish.limits ?? {}, ...many };
  writeFileSync(file, workerToml(coordinator.url, port, 1, { redisPort: redis.port, worker }));
  const program = join(ROOT, processes === undefined ? "worker/main.ts" : "worker/supervise.ts");
  const child = startOn(
    processes === undefined ? CORES.proxy : CORES.all,
    [...BUN, ...(wish.flags ?? []), program, "--config", file],
    ENVIRONMENT,
  );
  async function stop(): Promise<void> {
    await child.stop();
    await Promise.all([coordinator.stop(), redis.stop()]);
    rmSync(directory, { recursive: true, force: true });
  }
  const serves = async () => {
    await child.said("circuits are known");
    if (processes !== undefined) await until(() => listenersAt("127.0.0.1", port).length === processes);
  };
  await serves().catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const name = engine === "serve" ? "worker" : engine;
  return {
    name: processes === undefined ? name : `${name} ×${processes}`,
    port,
    pid: child.pid,
    keys: circuits.map((one) => keyOf(one, port)),
    stop,
  };
}

// --- internal ---

function frontend({ protocol = "http", wildcard }: WorkerWish, port: number): Record<string, unknown> {
  if (wildcard !== undefined)
    return { frontend_mode: "wildcard", wildcard_domain: { domain: DOMAIN, bind_addr: `127.0.0.1:${port}` } };
  return protocol === "tcp" ? { protocol, tcp_auth: "none" } : {};
}

function makeCircuits({ upstream, wildcard, protocol = "http" }: WorkerWish, port: number): Circuit[] {
  return Array.from({ length: wildcard ?? 1 }, (_, at) => {
    const id = `${at.toString(16).padStart(8, "0")}-0000-4000-8000-000000000001`;
    const session = `${at.toString(16).padStart(8, "0")}-0000-4000-8000-000000000002`;
    return circuit({
      id,
      protocol,
      ...(wildcard === undefined
        ? { port }
        : { frontend_mode: "wildcard" as const, port: null, subdomain: `app-${at}` }),
      // Each is another person's.
      user_id: USER.slice(0, -8) + at.toString(16).padStart(8, "0"),
      route_info: [route({ session_id: session, kernel_host: "127.0.0.1", kernel_port: upstream, protocol })],
      session_ids: [session],
    });
  });
}

function keyOf({ id, subdomain, user_id: user }: Circuit, port: number): { host: string; cookie: string } {
  const permits = new PermitAuthority({ secret: PERMIT_SECRET, previous_secrets: [], digest_mod: "sha256" });
  const permit = permits.issue(user ?? "", id, Math.floor(Date.now() / 1000), LIFETIME);
  const host = subdomain === null ? `127.0.0.1:${port}` : `${subdomain}${DOMAIN}`;
  return { host, cookie: `${permitCookieName(id, false)}=${permit}` };
}

/** Says yes to registration and heartbeats, gives all circuits, and to a node that has them no news. */
function standIn(circuits: readonly Circuit[]): { url: string; stop(): Promise<void> } {
  const now = { revision: 1, epoch: "bench" };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (!pathname.endsWith("/circuits")) return Response.json({ id: WORKER, revision: now.revision });
      const isEqual = searchParams.get("since") === String(now.revision) && searchParams.get("epoch") === now.epoch;
      return Response.json(isEqual ? { circuits: [], removed: [], since: now.revision, ...now } : { circuits, ...now });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
}
