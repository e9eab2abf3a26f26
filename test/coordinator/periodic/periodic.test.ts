/** What several coordinators on one database agree on, and what a coordinator makes of clocks. A real SQLite file; the clocks are the test's. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insertCircuit } from "../../../coordinator/store/circuits.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { createLease, LEASE_MS, type Lease } from "../../../coordinator/periodic/lease.ts";
import { createObservation, CHECK_MS } from "../../../coordinator/observation.ts";
import { getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { until } from "../../support/until.ts";
import { API_KEY, coordinatorConfig, WORKER } from "../../support/values.ts";
import { write } from "../../support/store.ts";

let now: number;
let steady: number;

beforeEach(() => {
  now = NOW;
  steady = 0;
});

function passes(ms: number): void {
  now += ms;
  steady += ms;
}

describe("the lease", () => {
  let directory: string;
  let opened: SqliteStore[];
  let first: Lease;
  let second: Lease;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "app-proxy-lease-"));
    opened = ["a", "b"].map(() => openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID()));
    [first, second] = opened.map((store, at) => createLease(store, "work", `holder-${at}`, () => now, () => steady)) as [Lease, Lease]; // prettier-ignore
  });

  afterEach(() => {
    for (const one of opened) one.close();
    rmSync(directory, { recursive: true });
  });

  test("is one coordinator's for as long as it renews it", async () => {
    expect([await first.hold(), await second.hold()]).toEqual([true, false]);
    for (let at = 0; at < 20; at++) {
      passes(CHECK_MS);
      expect([await second.hold(), await first.hold()]).toEqual([false, true]);
    }
  });

  test("is the other's when its holder has not renewed it in time, and then not the first one's", async () => {
    await first.hold();
    passes(LEASE_MS - 1);
    expect(await second.hold()).toBe(false);
    passes(1);
    expect([await second.hold(), await first.hold()]).toEqual([true, false]);
  });

  test("is free at once when its holder gives it up; who does not hold it can't give it up", async () => {
    await first.hold();
    await second.release();
    expect(await second.hold()).toBe(false);
    await first.release();
    expect(await second.hold()).toBe(true);
  });

  test("that was written by a clock ahead keeps nobody for hours", async () => {
    now += 3_600_000;
    await first.hold();
    now -= 3_600_000;
    passes(LEASE_MS);
    expect(await second.hold()).toBe(true);
  });
});

describe("observation", () => {
  test("goes on while the process looks in time and the clock runs evenly", () => {
    const observation = createObservation(() => now, () => steady); // prettier-ignore
    for (let at = 0; at < 100; at++) {
      passes(CHECK_MS + (at % 7) * 500);
      // A clock that is slewed.
      now += 5;
      expect(observation.check()).toBe("even");
    }
    expect(observation.since()).toBe(NOW);
  });

  test.each([
    ["slept", 60_000, 60_000],
    ["clock was set", 3_600_000, CHECK_MS],
    ["clock was set", -3_600_000, CHECK_MS],
    // A suspended machine: its steady clock may stand still.
    ["clock was set", 60_000, 10],
  ] as const)("begins anew after an interruption: %s (%d ms, in truth %d)", (what, wall, real) => {
    const observation = createObservation(() => now, () => steady); // prettier-ignore
    passes(CHECK_MS);
    observation.check();
    now += wall;
    steady += real;
    expect([observation.check(), observation.since()]).toEqual([what, now]);
    passes(CHECK_MS);
    expect([observation.check(), observation.since()]).toEqual(["even", now - CHECK_MS]);
  });
});

test("observation begins anew when what was heard could not be written down", () => {
  const observation = createObservation(() => now, () => steady); // prettier-ignore
  passes(CHECK_MS);
  observation.lapsed();
  expect([observation.since(), observation.check()]).toEqual([NOW + CHECK_MS, "even"]);
});

test("workers are called LOST also where what is old can't be forgotten", async () => {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-periodic-"));
  const newId = () => crypto.randomUUID();
  const database = openDb(join(directory, "c.sqlite3"), newId);
  const messengers = memoryMessengers(silentLog())(createCodec(API_KEY, false));
  // Longer than from one look to the next.
  const settings = '[proxy_coordinator]\nbind_addr = "127.0.0.1:0"\nworker_heartbeat_timeout = 3\n';
  const config = coordinatorConfig(settings).values;
  database.db.run("DROP TABLE used_slots");
  write(database, (tx) => upsertWorker(tx, portRegistration("w"), WORKER, Date.now()));
  const deps = { config, database, ...messengers, log: silentLog(), now: Date.now, newId };
  const coordinator = await startCoordinator(deps);
  await until(() => database.readNow((q) => getWorker(q, WORKER))?.status === "LOST");
  await coordinator.stop();
  await messengers.close();
  database.close();
  rmSync(directory, { recursive: true });
});

test("what a coordinator that is gone has recorded is published by another one", async () => {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-periodic-"));
  const path = join(directory, "c.sqlite3");
  const newId = () => crypto.randomUUID();
  const [gone, database] = [openDb(path, newId), openDb(path, newId)];
  const messengers = memoryMessengers(silentLog())(createCodec(API_KEY, false));
  const heard: AppProxyEvent[] = [];
  await messengers.bus.subscribe({ event: (event) => heard.push(event), unknown: () => undefined });
  const config = coordinatorConfig('[proxy_coordinator]\nbind_addr = "127.0.0.1:0"\n').values;
  const deps = { config, database, ...messengers, log: silentLog(), now: Date.now, newId };
  const coordinator = await startCoordinator(deps);
  write(gone, (tx) => upsertWorker(tx, portRegistration("w"), WORKER, Date.now()));
  const { id } = write(gone, (tx) => insertCircuit(tx, newCircuit({ port: 10_205 })));
  gone.close();
  await until(() => heard.some(({ payload }) => "circuits" in payload && payload.circuits[0]?.id === id));
  await coordinator.stop();
  database.close();
  rmSync(directory, { recursive: true });
});
