/** How many slots are free and taken: what was counted before never stands for another state. A real SQLite file. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insertCircuit, removeCircuit } from "../../../coordinator/store/circuits.ts";
import { openDb, write, type OpenDb } from "../../../coordinator/store/open.ts";
import { slotCounts } from "../../../coordinator/store/slot-counts.ts";
import { candidates, getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { atEnd } from "../../support/at-end.ts";

const cause = { requestId: null, now: NOW };
let directory: string;
let opened: OpenDb;

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
  write(opened.db, (tx) => upsertWorker(tx, portRegistration("w", { port_range }), "w", NOW));
const counts = ({ db } = opened) => slotCounts(db, getWorker(db, "w") ?? expect.unreachable());
const create = (port: number, { db } = opened) =>
  write(db, (tx) => insertCircuit(tx, newCircuit({ workerId: "w", port }), cause));

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
  write(opened.db, (tx) => removeCircuit(tx, row, cause));
  expect([counts(), counts(other)]).toEqual([
    { available: 4, occupied: 1 },
    { available: 4, occupied: 1 },
  ]);
});

test("of a transaction that failed are not those of the next, which has the same revision", () => {
  const failing = () =>
    write(opened.db, () => {
      for (const port of [100, 101]) create(port);
      expect(counts()).toEqual({ available: 8, occupied: 2 });
      throw new Error("rolled back");
    });
  expect(failing).toThrow("rolled back");
  expect(counts()).toEqual({ available: 10, occupied: 0 });
  const row = create(100);
  write(opened.db, (tx) => removeCircuit(tx, row, cause));
  expect(getWorker(opened.db, "w")?.revision).toBe(2);
  expect(counts()).toEqual({ available: 10, occupied: 0 });
});

test("that a placement has used up are not those of the next one", () => {
  const [first] = candidates(opened.db, NOW);
  if (first !== undefined) first.available = 0;
  expect(candidates(opened.db, NOW)[0]?.available).toBe(10);
});
