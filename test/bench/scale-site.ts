/**
 * A site for the scale benchmark: a coordinator as a process of its own on a real SQLite file and a real Redis, and twenty
 * simulated workers: registered through the API, they send heartbeats, poll for changes and acknowledge as real nodes do.
 * One subscription hears for all of them, so that the simulation costs less than what is measured.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCodec } from "../../shared/protocol/envelope.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { redisMessengers, type Messengers } from "../../shared/redis/messengers.ts";
import { API_SECRET, Manager } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { spawnService, type Service } from "../support/spawned.ts";
import { coordinatorToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { fill, registrationOf } from "./scale-fill.ts";

export interface Site {
  name: string;
  manager: Manager;
  /** Of the coordinator's process. */
  pid: number;
  /** From the start of the process to its first answer. */
  startMs: number;
  /** The database's file. */
  path: string;
  workers: { id: string; nodeId: string; revision: number; epoch: string }[];
  circuits: readonly string[];
  messengers: Messengers;
  stop(): Promise<void>;
}

const HEARTBEAT_MS = 10_000;
const POLL_MS = 2500;

/** Starts one with so many workers, and `each` circuits a worker. */
export async function startSite(name: string, workerCount: number, each: number): Promise<Site> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-bench-scale-"));
  const redis = await startRedis();
  const path = join(directory, "db.sqlite3");
  const { circuits } = fill(path, workerCount, each);
  const baseUrl = `http://127.0.0.1:${await freePort()}`;
  const file = join(directory, "coordinator.toml");
  const coordinator = { bind_addr: baseUrl.slice("http://".length) };
  writeFileSync(file, coordinatorToml(path, { redisPort: redis.port, coordinator }));
  const messengers = await hearFor(redis.port);
  await markUsed(messengers, circuits);
  const began = performance.now();
  const service = spawnService("coordinator/main.ts", ["--config", file], {
    env: { APP_PROXY_COORDINATOR__LOGGING__LEVEL: "warning" },
  });
  await firstAnswer(baseUrl, service);
  const startMs = performance.now() - began;
  const manager = new Manager(baseUrl);
  await until(async () => (await manager.call("GET", "/health/readyz")).status === 200);
  const workers = await Promise.all(Array.from({ length: workerCount }, (_, at) => register(manager, at)));
  const timers = workers.flatMap((worker) => live(manager, worker));
  return {
    name,
    manager,
    pid: service.process.pid,
    startMs,
    path,
    workers,
    circuits,
    messengers,
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all([service.stop("SIGKILL"), messengers.close()]);
      await redis.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

// --- internal ---

async function firstAnswer(baseUrl: string, service: Service): Promise<void> {
  await until(
    () => {
      if (service.process.exitCode !== null) throw new Error(`the coordinator ended with ${service.process.exitCode}`);
      return fetch(`${baseUrl}/status`).then(
        ({ ok }) => ok,
        () => false, // not listening yet
      );
    },
    60_000,
    "the coordinator's first answer",
  );
}

/** Acknowledges every creation, whichever worker it is for. */
async function hearFor(redisPort: number): Promise<Messengers> {
  const settings = { addr: { host: "127.0.0.1", port: redisPort }, sentinel: null, service_name: "", password: "" };
  const messengers = redisMessengers(settings, createCodec(API_SECRET, false), silentLog());
  const { bus } = messengers;
  await bus.subscribe({
    event({ name, payload, requestId }) {
      if (name !== "appproxy_circuit_created_event" || !("circuits" in payload)) return;
      const added = { target_worker_authority: payload.target_worker_authority, circuits: payload.circuits };
      void bus.publish({ name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload: added, requestId }); // prettier-ignore
    },
    unknown: () => undefined,
  });
  // Events, its own words and live data have a connection each.
  await until(() => bus.healthy() && messengers.live.healthy());
  return messengers;
}

/** Everybody has used his circuit a moment ago. */
async function markUsed({ live }: Messengers, circuits: readonly string[]): Promise<void> {
  const lastAccess = Date.now() / 1000;
  for (let at = 0; at < circuits.length; at += 10_000) {
    const some = circuits.slice(at, at + 10_000).map((id) => [id, { requests: 1, lastAccess }] as const);
    await live.record({ circuits: new Map(some), sessions: new Map() });
  }
}

async function register(manager: Manager, at: number): Promise<Site["workers"][number]> {
  const wanted = registrationOf(at);
  const { status, body } = await manager.api("PUT", "/api/worker", wanted);
  if (status !== 200) throw new Error(`registration answered ${status}: ${JSON.stringify(body)}`);
  const id = String(body["id"]);
  const { epoch } = (await manager.api("GET", `/api/worker/${id}/circuits`)).body;
  return { id, nodeId: String(wanted.node_id), revision: Number(body["revision"]), epoch: String(epoch) };
}

/** Heartbeats and polls, spread over their periods. */
function live(manager: Manager, worker: Site["workers"][number]): ReturnType<typeof setInterval>[] {
  const beat = async () => {
    const said = { node_id: worker.nodeId, revision: worker.revision, slots: false };
    worker.revision = Number((await manager.api("PATCH", `/api/worker/${worker.id}`, said)).body["revision"]);
  };
  const poll = async () => {
    const { id, revision, epoch } = worker;
    await manager.api("GET", `/api/worker/${id}/circuits?since=${revision}&epoch=${epoch}`);
  };
  // A call that fails is seen in the figures' own calls.
  const often = (work: () => Promise<void>, ms: number) => setInterval(() => void work().catch(() => undefined), ms * (0.9 + Math.random() / 5)); // prettier-ignore
  return [often(beat, HEARTBEAT_MS), often(poll, POLL_MS)];
}
