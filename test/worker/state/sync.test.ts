/** A worker's circuits follow the coordinator's database, whatever was missed meanwhile. Real coordinator, Redis, listeners and apps. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { Redis } from "ioredis";
import { pino } from "pino";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { silentLog, type Log } from "../../../shared/runtime/log.ts";
import { redisMessengers } from "../../../shared/redis/messengers.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { bunEngine } from "../../../worker/engine/bun/engine.ts";
import { startWorker, type Worker } from "../../../worker/worker.ts";
import { startFakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator } from "../../support/lone-coordinator.ts";
import { API_SECRET, Manager, type Answer } from "../../support/manager.ts";
import { freePort, freeRange } from "../../support/ports.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { portRegistration } from "../../support/rows.ts";
import { coordinatorToml, workerToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";
import { atEnd } from "../../support/at-end.ts";

const codec = createCodec(API_SECRET, false);
const newId = () => crypto.randomUUID();
/** Long enough that nothing in a test is made up for by a heartbeat. */
const NEVER = 600;
const PORTS = 4;

let stops: (() => unknown)[];
let manager: Manager;
let redis: RedisServer;
let low: number;
let directory: string;

beforeEach(async () => {
  stops = [];
  directory = mkdtempSync(join(tmpdir(), "app-proxy-sync-"));
  low = await freeRange(PORTS);
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
  rmSync(directory, { recursive: true, force: true });
});

/** An app that answers with its letter. */
function app(letter: string): number {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(letter) });
  stops.push(() => server.stop(true));
  return server.port ?? 0;
}

/** A coordinator with a Redis of its own. Gives a way to send any text to the events' channel. */
async function coordinator(): Promise<(event: AppProxyEvent) => Promise<void>> {
  const lone = await startLoneCoordinator({ coordinator: { circuit_ack_timeout: 1 } });
  stops.push(() => lone.stop());
  ({ manager, redis } = lone);
  return (event) => lone.publish(codec.encode(event));
}

/** A coordinator that can be stopped alone, and started again at the same address on this or another database. */
async function coordinatorAt(port: number, file: string): Promise<{ database: SqliteStore; stop(): Promise<void> }> {
  const settings = {
    redisPort: redis.port,
    coordinator: { bind_addr: `127.0.0.1:${port}`, circuit_ack_timeout: 3 },
  };
  const config = loadCoordinatorConfig("test", coordinatorToml(join(directory, file), settings), {}).values;
  const database = openDb(config.db.path, newId);
  const messengers = redisMessengers(config.redis, codec, silentLog());
  const { bus, live } = messengers;
  const started = await startCoordinator({ config, database, bus, live, log: silentLog(), now: Date.now, newId });
  manager = new Manager(started.baseUrl);
  let running = true;
  const stop = async () => {
    if (!running) return;
    running = false;
    await started.stop();
    await messengers.close();
    database.close();
  };
  stops.push(stop);
  await until(() => bus.healthy() && live.healthy());
  return { database, stop };
}

interface Node extends Worker {
  health(path?: string): Promise<[status: number, body: Record<string, unknown>]>;
}

function node(
  heartbeat: number,
  endpoint = manager.baseUrl,
  more: Record<string, unknown> = {},
  log: Log = silentLog(),
): Node {
  const settings = { redisPort: redis.port, worker: { heartbeat_period: heartbeat, ...more } };
  const config = loadWorkerConfig("test", workerToml(endpoint, low, PORTS, settings), {}).values;
  const messengers = redisMessengers(config.redis, codec, silentLog());
  const { bus, live } = messengers;
  const worker = startWorker({ config, engine: bunEngine, bus, live, log, now: Date.now, newId });
  let stopping: Promise<void> | null = null;
  const stop = () => (stopping ??= worker.stop());
  stops.push(() => messengers.close(), stop);
  return {
    ...worker,
    stop,
    async health(path = "/health") {
      const answer = await fetch(`http://127.0.0.1:${worker.apiPort}${path}`);
      return [answer.status, (await answer.json()) as Record<string, unknown>];
    },
  };
}

/** A worker that serves and hears events. */
async function readyNode(heartbeat: number): Promise<Node> {
  const made = node(heartbeat);
  await made.ready;
  await until(async () => (await made.health())[1]["status"] === "ok");
  return made;
}

async function tryOpen(letter: "a" | "b", at: number): Promise<Answer> {
  // Each has its session and its kernel.
  const { token, sessionId } = await manager.conf({ kernel_port: app(letter) });
  return manager.auth(token, sessionId, { open_to_public: true, port: low + at });
}

/** Makes a circuit to an app on one of the worker's ports. */
async function open(letter: "a" | "b", at: number): Promise<Circuit> {
  const { status, body } = await tryOpen(letter, at);
  expect([status, body["msg"]]).toEqual([200, undefined]);
  return (await manager.api("GET", `/api/circuit/${String(body["circuit_id"])}`)).body as unknown as Circuit;
}

const remove = ({ id }: Circuit) => manager.api("DELETE", `/api/circuit/${id}`);

/** What the ports answer; null where nothing listens. */
function served(): Promise<(string | null)[]> {
  const ask = async (port: number) => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false })).text();
    } catch {
      return null; // nothing listens
    }
  };
  return Promise.all(Array.from({ length: PORTS }, (_, at) => ask(low + at)));
}

const untilServed = (wanted: (string | null)[]) =>
  until(async () => Bun.deepEquals(await served(), wanted), 30_000, `ports that answer ${JSON.stringify(wanted)}`);

/** A removal as an older coordinator tells it, or with its place in the order. */
function removal(circuit: Circuit, more: { revision?: number; epoch?: string } = {}, to = "worker-1"): AppProxyEvent {
  const payload = { target_worker_authority: to, circuits: [circuit], ...more };
  return { name: "appproxy_circuit_removed_event", source: "appproxy-coordinator", payload, requestId: null };
}

/** A creation as the coordinator tells it. */
function creation(circuit: Circuit, more: { revision?: number; epoch?: string } = {}, to = "worker-1"): AppProxyEvent {
  return { ...removal(circuit, more, to), name: "appproxy_circuit_created_event", requestId: "again" } as AppProxyEvent;
}

/** Everything that is said on the bus from now on. */
async function overheard(): Promise<AppProxyEvent[]> {
  const events: AppProxyEvent[] = [];
  const settings = { addr: { host: "127.0.0.1", port: redis.port }, sentinel: null, service_name: "", password: "" };
  const messengers = redisMessengers(settings, codec, silentLog());
  stops.push(() => messengers.close());
  await messengers.bus.subscribe({ event: (event) => events.push(event), unknown: () => undefined });
  return events;
}

const acknowledged = (events: AppProxyEvent[]) =>
  events.flatMap(({ name, payload }) =>
    name === "appproxy_worker_circuit_added_event" && "circuits" in payload ? payload.circuits.map(({ id }) => id) : [],
  );

async function epochOf(worker: Node): Promise<string> {
  return String((await manager.api("GET", `/api/worker/${worker.state().workerId}/circuits`)).body["epoch"]);
}

/** Another program on one of the worker's ports. */
function occupy(at: number): () => void {
  const taken = Bun.listen({
    hostname: "127.0.0.1",
    port: low + at,
    exclusive: true,
    socket: { open: (one) => void one.end(), data() {} },
  });
  const leave = () => taken.stop(true);
  stops.push(leave);
  return leave;
}

describe("what was missed", () => {
  test("by a worker that was down is made up for at its start: it serves exactly what there is", async () => {
    await coordinator();
    const before = await readyNode(NEVER);
    await open("a", 0);
    const gone = await open("a", 1);
    await before.stop();
    expect(await served()).toEqual([null, null, null, null]);
    const range = [low, low + PORTS - 1];
    const other = await startFakeWorker(manager, redis.port, { authority: "worker-1", port_range: range });
    await remove(gone);
    await open("b", 2);
    await remove(await open("b", 3));
    await other.stop();
    await manager.api("DELETE", `/api/worker/${other.id}`);
    const after = node(NEVER);
    await after.ready;
    expect(await served()).toEqual(["a", null, "b", null]);
    // Events may be heard only after that; it fetches once more then.
    await until(() => after.state().known);
    expect(after.state()).toMatchObject({
      workerId: other.id,
      ready: true,
      known: true,
      revision: 6,
      coordinator: true,
    });
  });

  test("while the connection to Redis was broken is made up for when it is back", async () => {
    await coordinator();
    await readyNode(NEVER);
    const gone = await open("a", 0);
    await open("b", 1);
    const client = new Redis(redis.port, "127.0.0.1");
    await client.client("KILL", "TYPE", "PUBSUB");
    expect(await client.pubsub("NUMSUB", "events_all-appproxy")).toEqual(["events_all-appproxy", 0]);
    client.disconnect();
    await remove(gone);
    await untilServed([null, "b", null, null]);
    await until(async () => (await tryOpen("a", 2)).status === 200);
    expect(await served()).toEqual([null, "b", "a", null]);
  });

  test("while Redis is away is made up for by the heartbeats, and creation works again with Redis", async () => {
    await coordinator();
    await readyNode(0.1);
    const gone = await open("a", 0);
    await open("b", 1);
    await redis.stop();
    await remove(gone);
    await untilServed([null, "b", null, null]);
    expect((await tryOpen("a", 2)).body["msg"]).toBe("E10001: Proxy worker not responding");
    await untilServed([null, "b", null, null]);
    await redis.start();
    await until(async () => (await tryOpen("a", 3)).status === 200);
    expect(await served()).toEqual([null, "b", null, "a"]);
  });
});

describe("another worker of the same authority", () => {
  test("that got its word on record is overruled when it has ended, and complained of once meanwhile", async () => {
    await coordinator();
    const lines: Record<string, unknown>[] = [];
    const log = pino({ level: "debug" }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
    const worker = node(0.1, undefined, {}, log);
    await worker.ready;
    await open("a", 0);
    const record = async () => (await manager.api("GET", `/api/worker/${worker.state().workerId}`)).body;
    const { slots: _slots, updated_at: _at, ...before } = await record();
    const [, { node_id: supersedes }] = await worker.health("/health/status");
    const other = portRegistration("worker-1", { node_id: "other", supersedes: String(supersedes) });
    expect((await manager.api("PUT", "/api/worker", other)).status).toBe(200);

    const complaints = () => lines.filter(({ level }) => level === 50);
    const [complaint] = await until(() => complaints().length > 0 && complaints());
    expect(complaint).toMatchObject({ reason: expect.stringContaining(`port_range: [10205,10214] there, [${low},`) as string }); // prettier-ignore
    expect((await worker.health())[1]).toMatchObject({ status: "degraded", checks: { coordinator: "refuses" } });
    expect(await record()).toMatchObject({ port_range: [10_205, 10_214], nodes: 2 });
    expect(await served()).toEqual(["a", null, null, null]);

    await manager.api("DELETE", `/api/worker/${worker.state().workerId}?node_id=other`);
    await until(async () => (await worker.health())[1]["status"] === "ok");
    expect(await record()).toMatchObject(before);
    expect(complaints()).toHaveLength(1);
    await open("b", 1);
    expect(await served()).toEqual(["a", "b", null, null]);
  });
});

describe("an event", () => {
  test("for another worker changes nothing", async () => {
    const send = await coordinator();
    const worker = await readyNode(NEVER);
    const mine = await open("a", 0);
    await send(creation({ ...mine, id: newId(), port: low + 1 }, { revision: 2 }, "worker-2"));
    await send(removal(mine, {}, "worker-2"));
    await open("b", 2);
    expect(await served()).toEqual(["a", null, "b", null]);
    expect(worker.state()).toMatchObject({ ready: true, known: true, revision: 2 });
  });

  test("that removes an old circuit late does not touch the new one on its port", async () => {
    const send = await coordinator();
    const worker = await readyNode(NEVER);
    const epoch = await epochOf(worker);
    const old = await open("a", 0);
    await remove(old);
    await open("b", 0);
    const marker = await open("a", 1);
    await send(removal(old, { revision: 2, epoch }));
    await send(removal(old));
    // Events are applied in order: when this one shows, the others have been.
    await send(removal(marker));
    await untilServed(["b", null, null, null]);
  });

  test("that comes after the stop opens nothing", async () => {
    const send = await coordinator();
    const worker = await readyNode(NEVER);
    const mine = await open("a", 0);
    await worker.stop();
    const events = await overheard();
    await send(creation({ ...mine, id: newId(), port: low + 1 }));
    await send(removal(mine));
    await until(() => events.some(({ name }) => name === "appproxy_circuit_removed_event"));
    expect(acknowledged(events)).toEqual([]);
    expect(await served()).toEqual([null, null, null, null]);
  });
});

describe("a port that another program has", () => {
  test("makes a creation that wants it fail at once and leaves nothing; when it is free again a retry succeeds", async () => {
    await coordinator();
    await readyNode(0.1);
    const leave = occupy(0);
    const { status, body } = await tryOpen("a", 0);
    expect([status, body["msg"]]).toEqual([
      409,
      `port: ${low} can't be opened by worker-1: another process on its machine has it`,
    ]);
    expect((await manager.api("GET", "/api/circuits")).body["circuits"]).toEqual([]);
    expect((await manager.api("GET", "/api/slots?in_use=true")).body["slots"]).toEqual([]);
    leave();
    // The worker looks with its heartbeat.
    await until(async () => (await tryOpen("a", 0)).status === 200);
    expect(await served()).toEqual(["a", null, null, null]);
  });

  test("is opened with a later heartbeat for a circuit that is still there", async () => {
    await coordinator();
    const before = await readyNode(NEVER);
    await open("a", 0);
    await open("b", 1);
    await before.stop();
    const leave = occupy(0);
    await readyNode(0.1);
    expect((await served()).slice(1)).toEqual(["b", null, null]);
    leave();
    await untilServed(["a", "b", null, null]);
  });
});

describe("a worker that does not know its circuits yet", () => {
  /** Asks for a name of a wildcard worker, as a program does, or as a browser. */
  function asked(name: string, accept = "application/json") {
    const headers = { host: `${name}.apps.localhost`, accept };
    return fetch(`http://127.0.0.1:${low}/`, { headers, keepalive: false });
  }

  test("answers names with 503, as they may be there, and with 404 once it knows that they are not", async () => {
    const port = await freePort();
    redis = await startRedis();
    stops.push(() => redis.stop());
    const wildcard = { domain: ".apps.localhost", bind_addr: `127.0.0.1:${low}` };
    const late = node(0.1, `http://127.0.0.1:${port}`, { frontend_mode: "wildcard", wildcard_domain: wildcard });
    const early = await asked("llama");
    expect([early.status, await early.json()]).toEqual([
      503,
      expect.objectContaining({ msg: "The worker is starting; try again" }),
    ]);
    expect(await (await asked("llama", "text/html")).text()).not.toContain("ended");
    await coordinatorAt(port, "db.sqlite3");
    await late.ready;
    expect((await asked("llama")).status).toBe(404);
  });
});

describe("a creation that is told again", () => {
  test("is acknowledged again, but not while its port can't be opened", async () => {
    const send = await coordinator();
    const before = await readyNode(NEVER);
    const [shut, reachable] = [await open("a", 0), await open("b", 1)];
    await before.stop();
    occupy(0);
    const epoch = await epochOf(await readyNode(NEVER));
    const events = await overheard();
    await send(creation(shut, { revision: 1, epoch }));
    await send(creation(reachable, { revision: 2, epoch }));
    await until(() => acknowledged(events).includes(reachable.id));
    expect(acknowledged(events)).toEqual([reachable.id]);
  });
});

describe("a coordinator", () => {
  let port: number;
  beforeEach(async () => {
    redis = await startRedis();
    stops.push(() => redis.stop());
    port = await freePort();
  });

  test("that is not there yet is waited for: /health/readyz says 503, and then 200", async () => {
    const worker = node(0.1, `http://127.0.0.1:${port}`);
    const [status, body] = await worker.health("/health/readyz");
    expect([status, body["worker_id"], body["checks"]]).toMatchObject([
      503,
      null,
      { circuits: "unknown", coordinator: "away" },
    ]);
    expect((await worker.health("/health/livez"))[0]).toBe(200);
    await coordinatorAt(port, "first.sqlite3");
    await worker.ready;
    await until(async () => (await worker.health())[1]["status"] === "ok");
    expect((await worker.health("/health/readyz"))[1]).toMatchObject({
      worker_id: worker.state().workerId,
      checks: { circuits: "known", coordinator: "reachable", events: "connected" },
      circuits: 0,
      revision: 0,
    });
  });

  test("that goes away leaves the worker serving what it knows, until it is back", async () => {
    const first = await coordinatorAt(port, "first.sqlite3");
    const worker = await readyNode(0.1);
    await open("a", 0);
    await first.stop();
    await until(async () => (await worker.health())[1]["status"] === "degraded");
    expect([(await worker.health("/health/readyz"))[0], await served()]).toEqual([200, ["a", null, null, null]]);
    await coordinatorAt(port, "first.sqlite3");
    await until(async () => (await worker.health())[1]["status"] === "ok");
    await open("b", 1);
    expect(await served()).toEqual(["a", "b", null, null]);
  });

  test("with a new empty database is registered at again, and only its circuits are served", async () => {
    const first = await coordinatorAt(port, "first.sqlite3");
    const worker = await readyNode(0.1);
    await open("a", 0);
    const { workerId } = worker.state();
    await first.stop();
    await coordinatorAt(port, "second.sqlite3");
    await untilServed([null, null, null, null]);
    const [known] = (await manager.api("GET", "/api/worker")).body["workers"] as Record<string, unknown>[];
    expect(known).toMatchObject({ authority: "worker-1", status: "ALIVE", id: worker.state().workerId });
    expect(worker.state().workerId).not.toBe(workerId);
    await open("b", 1);
    expect(await served()).toEqual([null, "b", null, null]);
  });

  test("with its database of yesterday, put back from a backup, is followed too", async () => {
    const first = await coordinatorAt(port, "first.sqlite3");
    const worker = await readyNode(0.1);
    await open("a", 0);
    first.database.db.run(sql`VACUUM INTO ${join(directory, "backup.sqlite3")}`);
    for (const at of [1, 2, 3]) await open("b", at);
    await first.stop();
    await until(() => !worker.state().coordinator);
    await coordinatorAt(port, "backup.sqlite3");
    await untilServed(["a", null, null, null]);
    await open("b", 1);
    expect(await served()).toEqual(["a", "b", null, null]);
  });
});

describe("a start while the coordinator is away", () => {
  const kept = (more = {}) => ({ snapshot_dir: directory, ...more });
  const file = () => join(directory, "app-proxy-worker-worker-1.json");
  const savedRevision = () =>
    existsSync(file())
      ? (JSON.parse(readFileSync(file(), "utf8")) as { circuits: { revision?: number } }).circuits.revision
      : null;

  /** A coordinator that is gone, and a worker that has served `a` and `b` and is gone too. */
  async function bothGone(): Promise<{ port: number; circuit: Circuit; cookie: string }> {
    redis = await startRedis();
    stops.push(() => redis.stop());
    const port = await freePort();
    const first = await coordinatorAt(port, "db.sqlite3");
    const worker = node(NEVER, manager.baseUrl, kept());
    await worker.ready;
    const circuit = await open("a", 0);
    const { cookie } = await manager.enter({ kernel_port: app("b") }, { port: low + 1 });
    await until(() => savedRevision() === 2);
    await first.stop();
    await worker.stop();
    expect(await served()).toEqual([null, null, null, null]);
    return { port, circuit, cookie };
  }

  test("serves what was served before, to the same people, and catches up when the coordinator is back", async () => {
    const { port, circuit, cookie } = await bothGone();
    const after = node(NEVER, undefined, kept());
    await after.ready;
    expect(after.state()).toMatchObject({ known: false, revision: 2, coordinator: false });
    expect((await after.health("/health/readyz"))[0]).toBe(200);
    expect((await after.health())[1]).toMatchObject({ status: "degraded", seconds_since_sync: null, circuits: 2 });
    expect((await served())[0]).toBe("a");
    const private_ = (headers = {}) => fetch(`http://127.0.0.1:${low + 1}/`, { headers, redirect: "manual" });
    expect((await private_()).status).toBe(401);
    expect(await (await private_({ cookie })).text()).toBe("b");
    await coordinatorAt(port, "db.sqlite3");
    await remove(circuit);
    await until(() => after.state().known);
    expect((await served())[0]).toBeNull();
    expect(await (await private_({ cookie })).text()).toBe("b");
    await until(() => savedRevision() === 3);
  });

  test("opens a port that comes free while the coordinator is away", async () => {
    await bothGone();
    const leave = occupy(0);
    const after = node(0.1, undefined, kept());
    await after.ready;
    expect(after.state().coordinator).toBe(false);
    leave();
    await until(async () => (await served())[0] === "a");
    expect(after.state().known).toBe(false);
  });

  test("serves nothing when that is switched off, or when its worker was away for too long", async () => {
    await bothGone();
    const off = node(NEVER, undefined, kept({ snapshot_dir: "" }));
    const late = node(NEVER, undefined, kept({ snapshot_max_age: 60, authority: "worker-1" }));
    const old = Date.now() / 1000 - 120;
    utimesSync(file(), old, old);
    await until(async () => (await late.health())[1]["status"] === "degraded");
    await Bun.sleep(500);
    expect([off.state().ready, late.state().ready]).toEqual([false, false]);
    expect(await served()).toEqual([null, null, null, null]);
  });

  test("serves nothing of what a coordinator that refuses the worker may have forgotten", async () => {
    await bothGone();
    const strict = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(null, { status: 401 }) });
    stops.push(() => strict.stop(true));
    const lines: string[] = [];
    const log = pino({}, { write: (line) => void lines.push(line) });
    const refused = node(NEVER, `http://127.0.0.1:${strict.port}`, kept(), log);
    await until(() => lines.some((line) => line.includes("coordinator refuses this worker; serving the last known")));
    await Bun.sleep(500);
    expect(refused.state().ready).toBe(false);
  });

  test("waits no longer than some seconds for a coordinator that says nothing", async () => {
    await bothGone();
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    atEnd(() => silent.stop(true));
    const began = performance.now();
    const waiting = node(NEVER, `http://127.0.0.1:${silent.port}`, kept());
    await waiting.ready;
    expect(performance.now() - began).toBeGreaterThan(2500);
    expect((await served())[0]).toBe("a");
  });
});
