/** How many slots are free and taken: what was counted before never stands for another state. A real SQLite file. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insertCircuit, removeCircuit } from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import type { Query, Tx } from "../../../coordinator/store/store.ts";
import { slotCounts } from "../../../coordinator/store/slot-counts.ts";
import { candidates, getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { atEnd } from "../../support/at-end.ts";
import { read, write } from "../../support/store.ts";

let directory: string;
let opened: SqliteStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-counts-"));
  opened = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  register();
});

afterEach(() => {
  opened.close();
  rmSync(directory, { recursive: true });
});

const register = (port_range: [number, number] = [100, 109]) =>
  write(opened, (tx) => upsertWorker(tx, portRegistration("w", { port_range }), "w", NOW));
const countsIn = (q: Query) => slotCounts(q, getWorker(q, "w") ?? expect.unreachable());
const counts = (store = opened) => read(store, countsIn);
const createIn = (tx: Tx, port: number) => insertCircuit(tx, newCircuit({ workerId: "w", port }));
const create = (port: number, store = opened) => write(store, (tx) => createIn(tx, port));

test("follow circuits, ranges, and another coordinator on the database", () => {
  expect(counts()).toEqual({ available: 10, occupied: 0 });
  const row = create(100);
  expect(counts()).toEqual({ available: 9, occupied: 1 });
  register([100, 104]);
  expect(counts()).toEqual({ available: 4, occupied: 1 });
  const other = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  atEnd(() => other.close());
  create(101, other);
  expect(counts()).toEqual({ available: 3, occupied: 2 });
  write(opened, (tx) => removeCircuit(tx, row, "deleted"));
  expect([counts(), counts(other)]).toEqual([
    { available: 4, occupied: 1 },
    { available: 4, occupied: 1 },
  ]);
});

test("of a transaction that failed are not those of the next, which has the same revision", () => {
  const failing = () =>
    write(opened, (tx) => {
      for (const port of [100, 101]) createIn(tx, port);
      expect(countsIn(tx)).toEqual({ available: 8, occupied: 2 });
      throw new Error("rolled back");
    });
  expect(failing).toThrow("rolled back");
  expect(counts()).toEqual({ available: 10, occupied: 0 });
  const row = create(100);
  write(opened, (tx) => removeCircuit(tx, row, "deleted"));
  expect(read(opened, (q) => getWorker(q, "w"))?.revision).toBe(2);
  expect(counts()).toEqual({ available: 10, occupied: 0 });
});

test("that a placement has used up are not those of the next one", () => {
  const [first] = read(opened, (q) => candidates(q, NOW));
  if (first !== undefined) first.available = 0;
  expect(read(opened, (q) => candidates(q, NOW))[0]?.available).toBe(10);
});
