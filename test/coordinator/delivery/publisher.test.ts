/** Changes become events: in order, after their commit, never lost to a crash or to Redis's absence. Real SQLite file and Redis. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { getCircuit } from "../../../coordinator/store/circuit-queries.ts";
import {
  insertCircuit,
  removeCircuit,
  toCircuit,
  updateRoutes,
  type CircuitRow,
} from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import type { Tx } from "../../../coordinator/store/store.ts";
import { createPublisher, type Publisher } from "../../../coordinator/delivery/publisher.ts";
import { upsertWorker } from "../../../coordinator/store/workers.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { memoryMessengers, redisMessengers, type Messengers } from "../../../shared/redis/messengers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { API_KEY, coordinatorConfig, route, WORKER } from "../../support/values.ts";
import { write } from "../../support/store.ts";

const codec = createCodec(API_KEY, false);

let directory: string;
let database: SqliteStore;
let heard: AppProxyEvent[];
let stops: (() => unknown)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-publish-"));
  heard = [];
  stops = [];
  reopen();
  write(database, (tx) => upsertWorker(tx, portRegistration("w1", { port_range: [10_205, 11_000] }), WORKER, NOW));
  write(database, (tx) => upsertWorker(tx, portRegistration("w2", { port_range: [10_205, 11_000] }), "w2", NOW));
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
  rmSync(directory, { recursive: true, force: true });
});

function reopen(): void {
  const opened = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
  stops.push(() => opened.close());
  database = opened;
}

/** A publisher as the coordinator has it, on the database that is open. */
function publisher({ bus, live }: Messengers): Publisher {
  const deps = { config: coordinatorConfig().values, database, bus, live, log: silentLog() };
  const made = createPublisher({ ...deps, now: () => NOW + 5, newId: () => crypto.randomUUID() });
  stops.push(() => made.stop());
  return made;
}

/** A place where events are heard. */
async function listening(messengers: Messengers): Promise<Messengers> {
  stops.push(() => messengers.close());
  await messengers.bus.subscribe({ event: (event) => heard.push(withoutMac(event)), unknown: () => undefined });
  await until(() => messengers.bus.healthy());
  return messengers;
}

const inMemory = () => listening(memoryMessengers(silentLog())(codec));

function withoutMac(event: AppProxyEvent): AppProxyEvent {
  const payload = Object.fromEntries(Object.entries(event.payload).filter(([key]) => key !== "mac"));
  return { ...event, payload } as AppProxyEvent;
}

function create(port: number, requestId: string | null = null, workerId = WORKER): CircuitRow {
  return write(database, (tx) => insertCircuit(tx, newCircuit({ port, workerId })), { requestId });
}

function remove({ id }: CircuitRow, requestId: string | null = null): void {
  const work = (tx: Tx) => {
    const row = getCircuit(tx, id);
    if (row !== undefined) removeCircuit(tx, row, "deleted");
  };
  write(database, work, { requestId });
}

/** Of the circuits that were told of: several changes of one kind are one event. */
const revisions = () =>
  heard
    .flatMap(({ payload }) => ("circuits" in payload ? payload.circuits : [payload.circuit]))
    .map(({ revision }) => revision);
const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1);
const unpublished = () => database.db.$count(sql`changes WHERE published_at IS NULL`);

describe("changes", () => {
  test("are published in order with revision, epoch and the request that caused them", async () => {
    const made = publisher(await inMemory());
    const row = create(10_205, "req-create");
    const cause = { requestId: "req-route" };
    const moved = write(database, (tx) => updateRoutes(tx, row, [route({ kernel_port: 9 })]), cause);
    remove(row, "req-remove");
    made.wake();
    await until(() => heard.length === 3);
    const where = { target_worker_authority: "w1", epoch: database.epoch };
    const last = { ...toCircuit(moved), revision: 3 };
    const source = "appproxy-coordinator";
    expect(heard).toEqual([
      { name: "appproxy_circuit_created_event", source, requestId: "req-create", payload: { ...where, revision: 1, circuits: [toCircuit(row)] } },
      { name: "appproxy_circuit_route_updated_event", source, requestId: "req-route", payload: { ...where, revision: 2, circuit: toCircuit(moved), routes: [route({ kernel_port: 9 })] } },
      { name: "appproxy_circuit_removed_event", source, requestId: "req-remove", payload: { ...where, revision: 3, circuits: [last] } },
    ]); // prettier-ignore
  });

  test("of several workers are numbered for each of them", async () => {
    const made = publisher(await inMemory());
    for (const at of upTo(3)) {
      create(10_205 + at);
      create(10_205 + at, null, "w2");
    }
    made.wake();
    await until(() => heard.length === 2);
    expect(heard.map(({ payload: { target_worker_authority: who, first_revision: first, revision } }) => [who, first, revision])).toEqual([["w1", 1, 3], ["w2", 1, 3]]); // prettier-ignore
    expect(revisions()).toEqual([1, 2, 3, 1, 2, 3]);
  });

  test("of one kind and one request that follow each other are one event; the others keep their place", async () => {
    const made = publisher(await inMemory());
    const rows = [create(10_205, "a"), create(10_206, "a"), create(10_207, "b")];
    for (const row of rows) write(database, (tx) => updateRoutes(tx, row, []), { requestId: "b" });
    for (const row of rows) remove(row, "c");
    create(10_208, "c");
    made.wake();
    await until(() => heard.length === 7);
    expect(heard.map(({ name, requestId, payload }) => [name.split("_").at(-2), requestId, payload.first_revision, payload.revision])).toEqual([
      ["created", "a", 1, 2],
      ["created", "b", undefined, 3],
      ["updated", "b", undefined, 4],
      ["updated", "b", undefined, 5],
      ["updated", "b", undefined, 6],
      ["removed", "c", 7, 9],
      ["created", "c", undefined, 10],
    ]); // prettier-ignore
  });

  test("of thousands of routes are sent in several round trips, in order", async () => {
    const messengers = await inMemory();
    const trips: number[] = [];
    const { bus } = messengers;
    const counted = { ...bus, publish: (...events: AppProxyEvent[]) => (trips.push(events.length), bus.publish(...events)) }; // prettier-ignore
    const made = publisher({ ...messengers, bus: counted });
    const many = Array.from({ length: 9000 }, () => route());
    const rows = upTo(5).map((at) => create(10_204 + at));
    for (const row of rows) write(database, (tx) => updateRoutes(tx, row, many));
    made.wake();
    await until(() => heard.length === 6);
    expect([revisions(), trips]).toEqual([upTo(10), [3, 2, 1]]);
  });

  test("are heard only after their commit, and not at all without one", async () => {
    const made = publisher(await inMemory());
    const failing = () =>
      write(database, (tx) => {
        insertCircuit(tx, newCircuit({ port: 10_205 }));
        throw new Error("rolled back");
      });
    expect(failing).toThrow("rolled back");
    made.wake();
    create(10_206, "committed");
    made.wake();
    await until(() => heard.length >= 1);
    expect(heard.map(({ requestId, payload }) => [requestId, payload.revision])).toEqual([["committed", 1]]);
  });

  test("are published once each, however many there are and however often there may be something new", async () => {
    const made = publisher(await inMemory());
    for (const at of upTo(450)) {
      create(10_204 + at);
      if (at % 10 === 0) made.wake();
    }
    await until(async () => (await made.pending()) === 0 && revisions().length >= 450);
    expect(revisions()).toEqual(upTo(450));
  });

  test("are marked as published shortly after, or at the latest by the stop", async () => {
    const made = publisher(await inMemory());
    create(10_205);
    made.wake();
    await until(() => heard.length === 1);
    await until(async () => (await unpublished()) === 0);
    expect(database.db.all(sql`SELECT published_at AS at FROM changes`)).toEqual([{ at: NOW + 5 }]);
    create(10_206);
    made.wake();
    await made.stop();
    expect(await unpublished()).toBe(0);
    await until(() => heard.length === 2);
  });

  test("that can't be marked while the disk is full are marked when it is not, without another one", async () => {
    const made = publisher(await inMemory());
    create(10_205);
    database.db.run(sql`PRAGMA query_only = ON`);
    made.wake();
    await until(() => heard.length === 1);
    // The first attempt to mark it has failed by then.
    await Bun.sleep(100);
    database.db.run(sql`PRAGMA query_only = OFF`);
    await until(async () => (await unpublished()) === 0);
    expect(heard.length).toBe(1);
  });

  test("after the stop stay for the next start", async () => {
    const messengers = await inMemory();
    const first = publisher(messengers);
    await first.stop();
    create(10_205);
    first.wake();
    expect([await unpublished(), await first.pending(), heard]).toEqual([1, 1, []]);
    publisher(messengers).wake();
    await until(() => heard.length === 1);
    expect(revisions()).toEqual([1]);
  });

  test("that were never acknowledged are told again, as they were", async () => {
    const made = publisher(await inMemory());
    const circuit = toCircuit(create(10_205));
    await made.repeat(circuit, "w1", "req-again");
    await until(() => heard.length === 1);
    const payload = { target_worker_authority: "w1", circuits: [circuit], epoch: database.epoch, revision: 1 };
    expect(heard).toEqual([
      { name: "appproxy_circuit_created_event", source: "appproxy-coordinator", requestId: "req-again", payload },
    ]);
  });
});

describe("on Redis", () => {
  let redis: RedisServer;

  beforeEach(async () => {
    redis = await startRedis();
    stops.push(() => redis.stop());
  });

  function service(): Promise<Messengers> {
    const addr = { host: "127.0.0.1", port: redis.port };
    return listening(redisMessengers({ addr, sentinel: null, service_name: "", password: "" }, codec, silentLog()));
  }

  test("what a crash left unpublished is published at the next start, in order", async () => {
    const before = await service();
    const first = publisher(before);
    create(10_205);
    first.wake();
    await until(async () => (await unpublished()) === 0);
    // Committed, and gone before the publication: nobody wakes the publisher.
    for (const at of upTo(3)) create(10_205 + at);
    await before.close();
    reopen();
    heard = [];
    const second = publisher(await service());
    expect(await second.pending()).toBe(3);
    second.wake();
    await until(async () => revisions().length >= 3 && (await second.pending()) === 0);
    expect(revisions()).toEqual([2, 3, 4]);
    await until(async () => (await unpublished()) === 0);
  });

  test("while it is away changes are counted, and come in order when it is back", async () => {
    const messengers = await service();
    const made = publisher(messengers);
    create(10_205);
    made.wake();
    await until(() => heard.length === 1);
    await redis.stop();
    await until(() => !messengers.bus.healthy());
    for (const at of upTo(250)) {
      create(10_205 + at);
      made.wake();
    }
    expect(await made.pending()).toBe(250);
    await redis.start();
    await until(async () => revisions().length >= 251 && (await made.pending()) === 0);
    expect(revisions()).toEqual(upTo(251));
    await until(async () => (await unpublished()) === 0);
  });
});
