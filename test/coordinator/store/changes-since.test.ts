/** What a node gets when it asks for what has changed: it leads from every state that it may have to the present one. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lte, sql } from "drizzle-orm";
import { getCircuit } from "../../../coordinator/store/circuit-queries.ts";
import * as store from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import type { Query } from "../../../coordinator/store/store.ts";
import { changes, workers } from "../../../coordinator/store/schema.ts";
import { circuitsFor } from "../../../coordinator/store/changes-since.ts";
import { getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { digestOf } from "../../../shared/protocol/digest.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { route } from "../../support/values.ts";
import { read, write } from "../../support/store.ts";

let directory: string;
let opened: SqliteStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-circuits-"));
  opened = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  for (const id of ["w1", "w2"]) write(opened, (tx) => upsertWorker(tx, portRegistration(id), id, NOW));
});

afterEach(() => {
  opened.close();
  rmSync(directory, { recursive: true });
});

const workerIn = (q: Query, id = "w1") => getWorker(q, id) ?? expect.unreachable();
const worker = (id = "w1") => read(opened, (q) => workerIn(q, id));
const ask = (since: number, epoch = opened.epoch) => read(opened, (q) => circuitsFor(q, workerIn(q), epoch, { number: since, epoch: opened.epoch })); // prettier-ignore
const all = () => read(opened, (q) => circuitsFor(q, workerIn(q), opened.epoch, null));

const create = (port: number, workerId = "w1") =>
  write(opened, (tx) => store.insertCircuit(tx, newCircuit({ workerId, port })));
const remove = (row: store.CircuitRow) =>
  write(opened, (tx) => store.removeCircuit(tx, getCircuit(tx, row.id) ?? row, "deleted"));
const reroute = (row: store.CircuitRow, port: number) =>
  write(opened, (tx) => store.updateRoutes(tx, getCircuit(tx, row.id) ?? row, [route({ kernel_port: port })])); // prettier-ignore
const move = (row: store.CircuitRow, workerId: string, port: number) =>
  write(
    opened,
    (tx) =>
    store.moveCircuit(tx, getCircuit(tx, row.id) ?? row, { workerId, frontendMode: "port", port, subdomain: null }, true), // prettier-ignore
  );

/** Every state that the worker has had, by revision. */
function history(steps: (() => unknown)[]): Map<number, Circuit[]> {
  const states = new Map([[0, [] as Circuit[]]]);
  for (const step of steps) {
    step();
    states.set(worker().revision, all().circuits);
  }
  return states;
}

test("leads from every revision to the present one, whatever has happened", () => {
  let a: store.CircuitRow, b: store.CircuitRow, c: store.CircuitRow;
  const states = history([
    () => (a = create(10_205)),
    () => (b = create(10_206)),
    () => reroute(a, 9),
    () => move(a, "w2", 10_205),
    () => remove(b),
    () => (c = create(10_206)),
    () => move(a, "w1", 10_207),
    () => reroute(c, 8),
    () => create(10_208),
  ]);
  expect(states.size).toBe(10);
  const now = all();
  for (const [revision, before] of states) {
    const { circuits, removed = [], ...rest } = ask(revision);
    expect(rest).toEqual({
      since: revision,
      revision: worker().revision,
      epoch: opened.epoch,
      digest: worker().digest,
    });
    const table = new Map(before.map((one) => [one.id, one]));
    for (const id of removed) table.delete(id);
    for (const one of circuits) table.set(one.id, one);
    expect([...table.values()].toSorted(byId)).toEqual(now.circuits.toSorted(byId));
    expect(digestOf(table.values())).toBe(worker().digest);
  }
});

test("is everything when that is needed: another database, a revision of the future, changes that are forgotten", () => {
  const rows = [create(10_205), create(10_206), create(10_207)];
  const everything = { ...all() };
  expect(everything.circuits.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  expect(ask(1, "another")).toEqual({ ...everything, epoch: "another" });
  expect(ask(4)).toEqual(everything);
  opened.db.delete(changes).where(lte(changes.revision, 2)).run();
  expect(ask(1)).toEqual(everything);
  expect(ask(2)).toMatchObject({ since: 2, circuits: [{ id: rows[2]?.id }] });
  expect(ask(3)).toMatchObject({ since: 3, circuits: [], removed: [] });
});

test("a digest that was spoilt is right again after the next start", () => {
  create(10_205);
  const { digest } = worker();
  expect(digest).toBe(digestOf(all().circuits));
  opened.db.update(workers).set({ digest: 5 }).run();
  opened.close();
  opened = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  expect(worker().digest).toBe(digest);
  expect(worker("w2").digest).toBe(0);
  expect(opened.db.all(sql`SELECT count(*) AS n FROM circuit_routes`)).toEqual([{ n: 1 }]);
});

const byId = (one: Circuit, other: Circuit) => one.id.localeCompare(other.id);
