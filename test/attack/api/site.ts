/** Coordinator and worker as processes of their own over a real Redis, which the requests go to; and whether all is in order there. */
import { Database } from "bun:sqlite";
import { Stage } from "../../coordinator/calls/stage.ts";
import { readDatabase } from "../../faults/database.ts";
import { listingFaults, slotFaults } from "../../faults/tables.ts";
import { API_SECRET, JWT_SECRET } from "../../support/manager.ts";
import { startRedis } from "../../support/redis.ts";
import { spawnCluster } from "../../support/spawned.ts";
import { until } from "../../support/until.ts";
import { bytesOf, isTooLong, type Attempt } from "./attempt.ts";
import { schemas, type Promised } from "./document.ts";
import { faultsOf } from "./judge.ts";
import { send } from "./send.ts";

export interface Site {
  stage: Stage;
  /** Of the coordinator. */
  url: string;
  /** Makes all of them at once, at this service; gives what was wrong with the answers, with the requests that got them. */
  tryAll(at: "coordinator" | "worker", attempts: readonly Attempt[], promised: Promised): Promise<string[]>;
  /** Deletes all circuits, and ends the workers that are none. */
  clear(): Promise<void>;
  /** What is out of order, when nothing is under way. */
  disorder(): Promise<string[]>;
  stop(): Promise<void>;
}

const OURS = "worker-1";
const PORTS = 300;
/** Whatever is asked for, nothing but this machine is connected to. */
const LOOPBACK = ["127.0.0.0/8", "::1/128"];

export async function startSite(): Promise<Site> {
  const redis = await startRedis();
  const cluster = await spawnCluster({
    redisPort: redis.port,
    ports: PORTS,
    // Registered workers send no heartbeats; nobody waits long for one that acknowledges nothing.
    coordinator: { worker_heartbeat_timeout: 3600, circuit_ack_timeout: 1, kernel_host_cidrs: LOOPBACK },
    worker: { kernel_host_cidrs: LOOPBACK },
  });
  const { manager, coordinator, worker, database } = cluster;
  const stage = new Stage(manager);
  const ourWorker = async () => (await stage.client.listWorkers({})).workers.find((one) => one.authority === OURS);
  const ports = {
    coordinator: Number(new URL(manager.baseUrl).port),
    worker: (await ourWorker())?.api_port ?? 0,
  };
  const api = `http://127.0.0.1:${ports.worker}`;
  await until(async () => (await fetch(`${manager.baseUrl}/health/readyz`)).ok);
  await until(async () => (await healthOf(api))["status"] === "ok");

  return {
    stage,
    url: manager.baseUrl,
    async tryAll(at, attempts, promised) {
      const port = ports[at];
      const found = await Promise.all(
        attempts.map(async (attempt) => {
          const bytes = bytesOf(attempt, `127.0.0.1:${port}`);
          attempt.isBroken ||= isTooLong(bytes);
          const answered = await send(port, bytes, attempt.method, attempt.isBroken);
          const faults = faultsOf(attempt, answered, promised, schemas);
          return faults.length === 0 ? [] : [`${attempt.what.join(", ")}: ${faults.join("; ")} [${bytes.subarray(0, 700).toString("latin1")}]`]; // prettier-ignore
        }),
      );
      return found.flat();
    },
    async clear() {
      const { workers } = await stage.client.listWorkers({});
      const others = workers.filter(({ authority, status }) => authority !== OURS && status !== "TERMINATED");
      for (const { id } of others) await stage.client.deregisterWorker({ worker_id: id });
      await stage.clear();
    },
    async disorder() {
      const ready = await fetch(`${manager.baseUrl}/health/readyz`);
      const stored = readDatabase(database);
      const { workers } = await stage.client.listWorkers({});
      const ranges = new Map(workers.map(({ id, port_range: range }) => [id, range as [number, number] | null]));
      await until(async () => {
        const [health, ours] = [await healthOf(api), await ourWorker()];
        return health["revision"] === ours?.revision && health["digest"] === ours?.digest;
      });
      const lines = [...coordinator.lines, ...worker.lines];
      const told = lines.map((line) => JSON.stringify(line));
      return [
        ...(ready.ok ? [] : [`the coordinator is not ready: ${await ready.text()}`]),
        ...lines.filter(({ level }) => level === "error" || level === "fatal").map((line) => `logged: ${JSON.stringify(line)}`), // prettier-ignore
        ...told.filter((line) => line.includes(API_SECRET) || line.includes(JWT_SECRET)).map((line) => `a secret was logged: ${line}`), // prettier-ignore
        ...slotFaults(stored, ({ id }) => ranges.get(id) ?? null),
        ...listingFaults(stored),
        ...damageIn(database),
      ];
    },
    async stop() {
      await cluster.stop();
      await redis.stop();
    },
  };
}

// --- internal ---

async function healthOf(api: string): Promise<Record<string, unknown>> {
  return (await (await fetch(`${api}/health`)).json()) as Record<string, unknown>;
}

/** What SQLite itself finds. */
function damageIn(path: string): string[] {
  const database = new Database(path, { readonly: true });
  try {
    const said = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all();
    const loose = database.query<Record<string, unknown>, []>("PRAGMA foreign_key_check").all();
    return [
      ...said.filter((row) => row.integrity_check !== "ok").map((row) => row.integrity_check),
      ...loose.map((row) => `a row refers to nothing: ${JSON.stringify(row)}`),
    ];
  } finally {
    database.close();
  }
}
