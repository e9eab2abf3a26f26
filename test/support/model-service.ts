/**
 * A stage for tests of model services: coordinators on one SQLite file and one Redis, workers that only acknowledge, and
 * all that is published. Its clock can be moved.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { pino } from "pino";
import { loadCoordinatorConfig } from "../../coordinator/config.ts";
import { startCoordinator } from "../../coordinator/coordinator.ts";
import { openDb } from "../../coordinator/store/open.ts";
import { createPlatformChannel } from "../../coordinator/platform/channel.ts";
import { createCodec } from "../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { CHANNEL } from "../../shared/bus/redis.ts";
import { CallFailed, createClient, type Client } from "../../shared/client/client.ts";
import { silentLog, type Log } from "../../shared/runtime/log.ts";
import { redisMessengers } from "../../shared/redis/messengers.ts";
import { operations } from "../../shared/protocol/operations.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { EndpointRequest, RouteEntry } from "../../shared/protocol/schema/endpoint.ts";
import { startFakeWorker, type FakeWorker } from "./fake-worker.ts";
import { API_SECRET, Manager } from "./manager.ts";
import { startRedis, type RedisServer } from "./redis.ts";
import { coordinatorToml, type ClusterSettings } from "./toml.ts";
import { until } from "./until.ts";

export interface Stage {
  redis: RedisServer;
  /** For calls that the types forbid. */
  manager: Manager;
  client: Client<typeof operations>;
  /** What coordinators have published, one an entry, in order. */
  told: AppProxyEvent[];
  /** The coordinators' SQLite file. */
  database: string;
  /** What coordinators have logged. */
  lines: Record<string, unknown>[];
  /** Moves the coordinators' clock. */
  later(seconds: number): void;
  /** A worker of ours for both kinds of traffic; with `node_id: undefined` one of the original's. */
  worker(registration: Registration): Promise<FakeWorker>;
  /** A client of one more coordinator on the same database and Redis. */
  another(): Promise<Client<typeof operations>>;
  /** The circuit of an endpoint, as the coordinator has it. */
  circuitOf(endpointId: string): Promise<Circuit | undefined>;
  /** Removes all endpoints and stops all workers, where the next test needs no coordinator of its own. */
  clear(): Promise<void>;
  /** For what a test starts beside it: runs before its own end. */
  defer(stop: () => unknown): void;
  stop(): Promise<void>;
}

export type Registration = Record<string, unknown> & { authority: string };

export const OWNER = "f38dea23-50fa-42a0-b5ae-338f5f4693f4";

/** `patience`: how long coordinators wait for a lock on the database, milliseconds. */
export async function startStage(settings: ClusterSettings & { patience?: number } = {}): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-service-"));
  const redis = await startRedis();
  const database = join(directory, "db.sqlite3");
  const lines: Stage["lines"] = [];
  const log = pino({ level: "debug" }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const toml = coordinatorToml(database, { ...settings, redisPort: redis.port });
  const stops: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true }), () => redis.stop()];
  let ahead = 0;
  const coordinator = async () => {
    const started = await startOne(toml, () => Date.now() + ahead, log, settings.patience);
    stops.push(() => started.stop());
    return started.baseUrl;
  };
  const newClient = (baseUrl: string) => createClient(operations, { baseUrl, secret: API_SECRET });
  const baseUrl = await coordinator();
  const manager = new Manager(baseUrl);
  const client = newClient(baseUrl);
  const workers: FakeWorker[] = [];
  const told: AppProxyEvent[] = [];
  stops.push(await listen(redis.port, told));
  return {
    redis,
    manager,
    client,
    told,
    database,
    lines,
    later: (seconds) => void (ahead += seconds * 1000),
    async worker(registration) {
      const started = await startFakeWorker(manager, redis.port, { ...OURS, ...registration });
      workers.push(started);
      return started;
    },
    another: async () => newClient(await coordinator()),
    async circuitOf(endpointId) {
      const { circuits } = await client.listCircuits({ query: { limit: 1000 } });
      return circuits.find((one) => one.endpoint_id === endpointId);
    },
    async clear() {
      const { circuits } = await client.listCircuits({ query: { limit: 1000 } });
      await client.deleteCircuits({ body: { circuit_ids: circuits.map(({ id }) => id) } });
      for (const worker of workers.splice(0)) {
        await client.deregisterWorker({ worker_id: worker.id, query: { node_id: OURS.node_id } });
        await worker.stop();
      }
    },
    defer: (stop) => void stops.push(stop),
    async stop() {
      for (const worker of workers) await worker.stop();
      for (const stop of stops.toReversed()) await stop();
    },
  };
}

/** What the Manager asks for; `endpoint` and `session` are parts of its tags. */
export function service(
  over: Partial<EndpointRequest> = {},
  endpoint: Partial<EndpointRequest["tags"]["endpoint"]> = {},
  session: Partial<EndpointRequest["tags"]["session"]> = {},
): EndpointRequest {
  return {
    version: "v2",
    service_name: "llama",
    tags: { session: { user_uuid: OWNER, domain_name: "default", ...session }, endpoint },
    open_to_public: false,
    ...over,
  };
}

/** A route to 10.0.0.`at`; its id and its session's end with `at`. */
export function routeTo(at: number, over: Partial<RouteEntry> = {}): RouteEntry {
  const last = String(at).padStart(12, "0");
  return {
    route_id: `40000000-0000-4000-8000-${last}`,
    session_id: `5e000000-0000-4000-8000-${last}`,
    kernel_host: `10.0.0.${at % 250}`,
    kernel_port: 8000,
    ...over,
  };
}

/** `count` ids of endpoints. */
export function newIds(count: number): string[] {
  return Array.from({ length: count }, () => crypto.randomUUID());
}

/** How a call is refused: status, the last part of the problem's type, and what it says. */
export async function refusal(call: Promise<unknown>): Promise<[number | null, string, string | undefined]> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    return [error.status, error.problem?.type.split("/probs/")[1] ?? error.message, error.problem?.msg];
  }
  throw new Error("nothing was refused");
}

/** What a worker has after these events: circuits by id. */
export function replay(events: readonly AppProxyEvent[], authority: string): Map<string, Circuit> {
  const table = new Map<string, Circuit>();
  let revision = 0;
  for (const { name, payload } of events) {
    if (payload.target_worker_authority !== authority) continue;
    const { revision: last = 0, first_revision: first = last } = payload;
    // Told twice, or before its turn, for a caller of another coordinator: where a worker would fetch everything.
    if (last <= revision || first > revision + 1) continue;
    revision = last;
    const circuits = "circuits" in payload ? payload.circuits : [{ ...payload.circuit, route_info: payload.routes }];
    for (const one of circuits) {
      if (name === "appproxy_circuit_removed_event") table.delete(one.id);
      else table.set(one.id, one);
    }
  }
  return table;
}

// --- internal ---

const OURS = { node_id: "n1", accepted_traffics: ["interactive", "inference"] };

async function startOne(
  toml: string,
  now: () => number,
  log: Log,
  patience?: number,
): Promise<{ baseUrl: string; stop: () => Promise<void> }> {
  const config = loadCoordinatorConfig("test", toml, {}).values;
  const newId = () => crypto.randomUUID();
  const codec = createCodec(API_SECRET, config.events.accept_unsigned);
  const { bus, live, close } = redisMessengers(config.redis, codec, silentLog());
  const database = openDb(config.db.path, newId, patience);
  const platform = createPlatformChannel(config, silentLog());
  // The clock that is moved stands for time that passes.
  let heardSince = now();
  const observation = {
    since: () => heardSince,
    check: () => "even" as const,
    lapsed: () => void (heardSince = now()),
  };
  const deps = { config, database, bus, live, platform, log, now, newId, observation };
  const coordinator = await startCoordinator(deps);
  await until(() => bus.healthy() && platform.healthy());
  return {
    baseUrl: coordinator.baseUrl,
    async stop() {
      await coordinator.stop();
      platform.close();
      await close();
      database.close();
    },
  };
}

/** Hears everything on the events' channel, and keeps what coordinators say. */
async function listen(port: number, told: AppProxyEvent[]): Promise<() => void> {
  const codec = createCodec(API_SECRET, false);
  const redis = new Redis(port, "127.0.0.1");
  redis.on("message", (_channel, text: string) => {
    const event = codec.decode(text);
    if (event?.source === "appproxy-coordinator") told.push(withoutMac(event));
  });
  await redis.subscribe(CHANNEL);
  return () => redis.disconnect();
}

function withoutMac(event: AppProxyEvent): AppProxyEvent {
  const payload = Object.fromEntries(Object.entries(event.payload).filter(([key]) => key !== "mac"));
  return { ...event, payload } as AppProxyEvent;
}
