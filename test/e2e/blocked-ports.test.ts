/**
 * Blocked ports across processes that start anew, nodes that differ and workers that leave: coordinator and workers as
 * processes, real Redis. `circuit_ack_timeout` is so long that a creation which waits for it fails the test.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFakeWorker } from "../support/fake-worker.ts";
import { Manager, newKernel } from "../support/manager.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnService, type Service } from "../support/spawned.ts";
import { coordinatorToml, workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";

const stack = new AsyncDisposableStack();
let directory: string;
let redis: RedisServer;
let manager: Manager;
let coordinator: Service;
let coordinatorFile: string;

async function startCoordinator(): Promise<void> {
  coordinator = spawnService("coordinator/main.ts", ["--config", coordinatorFile]);
  const service = coordinator;
  stack.defer(async () => void (await service.stop("SIGKILL")));
  await coordinator.said("coordinator is up");
}

interface NodeWish {
  authority: string;
  low: number;
  count: number;
  host?: string;
  /** A session for which this worker is. */
  session: string;
}

/** The port of each worker's API: its nodes say the same of where they are, and say it again after a restart. */
const apiPorts = new Map<string, number>();

async function startNode({ authority, low, count, host = "127.0.0.1", session }: NodeWish): Promise<Service> {
  const path = join(directory, `${authority}-${host}.toml`);
  const api = apiPorts.get(authority) ?? (await freePort());
  apiPorts.set(authority, api);
  const own = {
    authority,
    api_bind_addr: `${host}:${api}`,
    api_advertised_addr: `127.0.0.1:${api}`,
    app_filters: [{ key: "session.id", value: session }],
    filtered_apps_only: true,
    port_proxy: { bind_host: host, bind_port_range: [low, low + count - 1] },
  };
  writeFileSync(path, workerToml(manager.baseUrl, low, count, { redisPort: redis.port, worker: own }));
  const service = spawnService("worker/main.ts", ["--config", path]);
  stack.defer(async () => void (await service.stop("SIGKILL")));
  await service.said("circuits are known");
  return service;
}

function take(port: number, hostname = "127.0.0.1"): () => void {
  const listener = Bun.listen({ hostname, port, exclusive: true, socket: { data: () => undefined } });
  stack.defer(() => listener.stop(true));
  return () => listener.stop(true);
}

async function open(session: string, wish: Record<string, unknown> = {}) {
  const { token } = await manager.conf({ ...newKernel(), session_id: session });
  const { status, body } = await manager.auth(token, session, wish);
  const id = String(body["circuit_id"]);
  const circuit = status === 200 ? (await manager.api("GET", `/api/circuit/${id}`)).body : {};
  return { status, id, port: Number(circuit["port"]), reuse: body["reuse"], token };
}

async function blocked(authority: string): Promise<number[]> {
  const { body } = await manager.api("GET", `/api/slots?in_use=false&wsproxy_host=${authority}`);
  return (body["slots"] as { port: number; blocked?: boolean }[]).flatMap(({ port, blocked: is }) =>
    is ? [port] : [],
  );
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-blocked-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  redis = await startRedis();
  stack.defer(() => redis.stop());
  const port = await freePort();
  const own = { bind_addr: `127.0.0.1:${port}`, circuit_ack_timeout: 100 };
  coordinatorFile = join(directory, "coordinator.toml");
  const toml = coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator: own });
  writeFileSync(coordinatorFile, toml);
  manager = new Manager(`http://127.0.0.1:${port}`);
  await startCoordinator();
}, 60_000);
afterAll(() => stack.disposeAsync(), 60_000);

test("what is blocked outlives the coordinator and the worker", async () => {
  const session = crypto.randomUUID();
  const wish = { authority: "lasting", low: await freeRange(4), count: 4, session };
  const worker = await startNode(wish);
  const free = take(wish.low);
  expect((await open(session)).port).toBe(wish.low + 1);
  await coordinator.stop("SIGKILL");
  await startCoordinator();
  expect(await blocked("lasting")).toEqual([wish.low]);
  await worker.stop();
  await startNode(wish);
  // The next in turn is the blocked one: the new process finds out, and is asked for no more than that.
  const [second, third] = [await open(session, { no_reuse: true }), await open(session, { no_reuse: true })];
  expect([second.status, third.status]).toEqual([200, 200]);
  expect(new Set([wish.low + 2, wish.low + 3])).toEqual(new Set([second.port, third.port]));
  free();
  await until(async () => (await blocked("lasting")).length === 0);
  expect((await open(session, { no_reuse: true })).port).toBe(wish.low);
}, 60_000);

test("an app whose port was taken while its worker was away opens on another port, and keeps it", async () => {
  const session = crypto.randomUUID();
  const kernel = newKernel();
  const wish = { authority: "away", low: await freeRange(4), count: 4, session };
  const worker = await startNode(wish);
  const { token } = await manager.conf({ ...kernel, session_id: session });
  const auth = async () => (await manager.auth(token, session)).body;
  const first = await auth();
  const portOf = async (id: unknown) => Number((await manager.api("GET", `/api/circuit/${String(id)}`)).body["port"]);
  const port = await portOf(first["circuit_id"]);
  await worker.stop();
  take(port);
  await startNode(wish);
  await until(async () => (await blocked("away")).includes(port));
  const again = await auth();
  expect(again).toMatchObject({ circuit_id: first["circuit_id"], reuse: true });
  const moved = await portOf(again["circuit_id"]);
  expect(moved).not.toBe(port);
  expect((await fetch(`http://127.0.0.1:${moved}/`)).status).toBe(401);
  expect(await portOf((await auth())["circuit_id"])).toBe(moved);
}, 60_000);

test("of two nodes one can't: circuits go where both can, and, when there is no such port, where one can", async () => {
  const session = crypto.randomUUID();
  const wish = { authority: "two", low: await freeRange(4), count: 4, session };
  const [low] = [wish.low];
  await startNode(wish);
  await startNode({ ...wish, host: "127.0.0.2" });
  take(low, "127.0.0.2");
  take(low + 1, "127.0.0.2");
  // Learned from the circuits that found them so.
  const both = [await open(session, { no_reuse: true }), await open(session, { no_reuse: true })];
  expect(both.map(({ status }) => status)).toEqual([200, 200]);
  await until(async () => (await blocked("two")).length > 0);
  const rest = [await open(session, { no_reuse: true }), await open(session, { no_reuse: true })];
  expect(rest.map(({ status }) => status)).toEqual([200, 200]);
  const ports = [...both, ...rest].map(({ port }) => port).toSorted();
  expect(ports).toEqual([low, low + 1, low + 2, low + 3]);
  for (const port of ports) expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(401);
  expect((await open(session, { no_reuse: true })).status).toBe(503);
  await until(async () => (await blocked("two")).length === 2);
  // A port that one of them can open is there for who wants it.
  const [first] = both;
  await manager.api(
    "DELETE",
    `/api/circuit/${String([...both, ...rest].find(({ port }) => port === low)?.id ?? first?.id)}`,
  );
  const wanted = await open(session, { no_reuse: true, port: low });
  expect([wanted.status, wanted.port]).toEqual([200, low]);
}, 60_000);

test("a worker that leaves is waited for by nobody: the circuit goes to another one", async () => {
  const session = crypto.randomUUID();
  const filters = { app_filters: [{ key: "session.id", value: session }], filtered_apps_only: true, node_id: "n" };
  const leaving = await startFakeWorker(manager, redis.port, {
    authority: "leaving",
    port_range: [100, 199],
    ...filters,
  });
  const other = await startFakeWorker(manager, redis.port, { authority: "other", port_range: [200, 209], ...filters });
  stack.defer(() => leaving.stop());
  stack.defer(() => other.stop());
  leaving.answers = false;
  const opening = open(session);
  await until(() => leaving.events.length > 0);
  await manager.api("DELETE", `/api/worker/${leaving.id}?node_id=n`);
  const { status, port } = await opening;
  expect([status, port >= 200]).toEqual([200, true]);
  await manager.api("DELETE", `/api/worker/${other.id}?node_id=n`);
  expect((await open(session, { no_reuse: true })).status).toBe(503);
}, 60_000);

test("each of two coordinators on one database hears what a worker can't, whichever of them asked it", async () => {
  const session = crypto.randomUUID();
  const wish = { authority: "shared", low: await freeRange(6), count: 6, session };
  await startNode(wish);
  const port = await freePort();
  const file = join(directory, "second.toml");
  const own = { bind_addr: `127.0.0.1:${port}`, circuit_ack_timeout: 100 };
  writeFileSync(file, coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator: own }));
  const service = spawnService("coordinator/main.ts", ["--config", file]);
  stack.defer(async () => void (await service.stop("SIGKILL")));
  await service.said("coordinator is up");
  const second = new Manager(`http://127.0.0.1:${port}`);
  take(wish.low);
  take(wish.low + 1);
  const { token } = await manager.conf({ ...newKernel(), session_id: session });
  const ways = [second, manager, second, manager];
  const opened = await Promise.all(ways.map((way) => way.auth(token, session, { no_reuse: true })));
  expect(opened.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  // A heartbeat from before the second one was refused may come behind that word, and counts until the next one.
  await until(async () => Bun.deepEquals(await blocked("shared"), [wish.low, wish.low + 1]));
}, 60_000);
