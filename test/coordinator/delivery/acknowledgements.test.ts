/** Acknowledgements are noted in the database, and count before they are: on a real SQLite file. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { createAcknowledgements, type Acknowledgements } from "../../../coordinator/delivery/acknowledgements.ts";
import { getCircuit } from "../../../coordinator/store/circuit-queries.ts";
import { insertCircuit, toCircuit, type CircuitRow } from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { upsertWorker } from "../../../coordinator/store/workers.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { holdLock } from "../../support/lock.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { until } from "../../support/until.ts";
import { API_KEY, coordinatorConfig, WORKER } from "../../support/values.ts";
import { read, write } from "../../support/store.ts";

let directory: string;
let database: SqliteStore;
let acknowledgements: Acknowledgements;
let row: CircuitRow;
let other: CircuitRow;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-acknowledge-"));
  database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
  write(database, (tx) => upsertWorker(tx, portRegistration("w1"), WORKER, NOW));
  row = write(database, (tx) =>
    insertCircuit(tx, newCircuit({ port: 10_205, acknowledgedAt: null, acknowledgedRevision: null })),
  );
  other = write(database, (tx) =>
    insertCircuit(
      tx,
      newCircuit({ id: crypto.randomUUID(), port: 10_206, acknowledgedAt: null, acknowledgedRevision: null }),
    ),
  );
  const { bus, live } = memoryMessengers(silentLog())(createCodec(API_KEY, false));
  const deps = { config: coordinatorConfig().values, database, bus, live, log: silentLog() };
  acknowledgements = createAcknowledgements({ ...deps, now: () => NOW, newId: () => crypto.randomUUID() });
});

afterEach(async () => {
  await acknowledgements.stop();
  database.close();
  rmSync(directory, { recursive: true, force: true });
});

function acknowledge(of = row): void {
  acknowledgements.receive({
    name: "appproxy_worker_circuit_added_event",
    source: "appproxy-worker",
    requestId: null,
    payload: { target_worker_authority: "w1", circuits: [toCircuit(of)] },
  });
}

const stored = (of = row) => read(database, (q) => getCircuit(q, of.id))?.acknowledgedRevision;

test("one that another coordinator has to know of is noted before it is used", async () => {
  acknowledge();
  await acknowledgements.noted(row.id);
  expect(stored()).toBe(row.revision);
  // Nothing is to be noted: it asks nobody.
  await acknowledgements.noted(row.id);
});

test("one that comes while others are being noted is noted too before it is used", async () => {
  const lock = await holdLock(join(directory, "db.sqlite3"));
  acknowledge();
  const first = acknowledgements.noted(row.id);
  // A turn later the first note waits for the lock, with what there was.
  await Bun.sleep(0);
  await Bun.sleep(0);
  acknowledge(other);
  let wasNoted = false;
  const second = acknowledgements.noted(other.id).then(() => (wasNoted = stored(other) === other.revision));
  await lock.release();
  await Promise.all([first, second]);
  expect([stored(), wasNoted]).toEqual([row.revision, true]);
});

test("and where that can't be written, it is not used", async () => {
  acknowledge();
  database.close();
  expect(await acknowledgements.noted(row.id).catch((error: unknown) => error)).toMatchObject({ kind: "service-unavailable" }); // prettier-ignore
  database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
});

test("an acknowledgement counts at once, and is noted shortly after", async () => {
  acknowledge();
  expect([acknowledgements.has(row), acknowledgements.everServed(row), stored()]).toEqual([true, true, null]);
  await until(() => stored() === row.revision);
});

test("one that can't be noted while the disk is full counts all the same, and is noted when there is room", async () => {
  database.db.run(sql`PRAGMA query_only = ON`);
  acknowledge();
  // The first attempt to note it has failed by then.
  await Bun.sleep(100);
  expect([acknowledgements.has(row), acknowledgements.everServed(row), stored()]).toEqual([true, true, null]);
  database.db.run(sql`PRAGMA query_only = OFF`);
  await until(() => stored() === row.revision);
});
