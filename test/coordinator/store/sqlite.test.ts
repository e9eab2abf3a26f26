/** The store's promises on a real SQLite file: one transaction at a time, in order, as a whole, and only with its `Tx`. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import { getCircuit } from "../../../coordinator/store/circuit-queries.ts";
import { insertCircuit, removeCircuit } from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { atEnd } from "../../support/at-end.ts";
import { holdLock } from "../../support/lock.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { WORKER } from "../../support/values.ts";

let directory: string;
let store: SqliteStore;
const cause = { requestId: "req-1", peer: null, now: () => NOW };

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-store-"));
  store = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID(), 200);
  await store.transaction(cause, (tx) => upsertWorker(tx, portRegistration("w"), WORKER, NOW));
});

afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

const revision = () => store.read((q) => getWorker(q, WORKER)?.revision);

test("a transaction knows its request and its one time, and what it has done", async () => {
  let at = NOW;
  const seen = await store.transaction({ requestId: "req-2", peer: "10.0.0.7", now: () => at++ }, (tx) => {
    const row = insertCircuit(tx, newCircuit({ port: 10_205 }));
    removeCircuit(tx.onBehalfOf({ requestId: "req-3", peer: null }), row, "deleted");
    return { cause: tx.cause, recorded: tx.recorded.map(({ kind, by }) => [kind, by.requestId, by.peer]) };
  });
  expect(seen).toEqual({ cause: { requestId: "req-2", peer: "10.0.0.7", now: NOW }, recorded: [["created", "req-2", "10.0.0.7"], ["removed", "req-3", null]] }); // prettier-ignore
  const rows = store.db.query.changes.findMany().sync();
  expect(rows.map(({ requestId, createdAt }) => [requestId, createdAt])).toEqual([["req-2", NOW], ["req-3", NOW]]); // prettier-ignore
});

test("what is thrown undoes all, and is passed on", async () => {
  const fault = new Failure("appproxy/port-not-available");
  const failing = store.transaction(cause, (tx) => {
    insertCircuit(tx, newCircuit({ port: 10_205 }));
    throw fault;
  });
  expect(await failing.catch((error: unknown) => error)).toBe(fault);
  expect(await revision()).toBe(0);
});

test("transactions run in the order of their calls, each on what the one before has left", async () => {
  const order = [1, 2, 3].map((at) =>
    store.transaction(cause, (tx) => [at, insertCircuit(tx, newCircuit({ port: 10_204 + at })).revision]),
  );
  expect(await Promise.all(order)).toEqual([[1, 1], [2, 2], [3, 3]]); // prettier-ignore
});

test("a transaction is over with its end: nothing is written with it later", async () => {
  const kept = await store.transaction(cause, (tx) => [tx, tx.onBehalfOf({ requestId: "req-2", peer: null })]);
  for (const tx of kept) {
    const late = [
      () => insertCircuit(tx, newCircuit({ port: 10_205 })),
      () => tx.onBehalfOf({ requestId: "req-3", peer: null }),
    ];
    for (const act of late) expect(act).toThrow("Cannot use a transaction after its end");
  }
  expect(await revision()).toBe(0);
});

test("within a transaction only the transaction is asked", async () => {
  const inner: Promise<unknown>[] = [];
  await store.transaction(cause, (tx) => {
    insertCircuit(tx, newCircuit({ port: 10_205 }));
    inner.push(
      store.read((q) => getWorker(q, WORKER)).catch(String),
      store.transaction(cause, (own) => insertCircuit(own, newCircuit({ port: 10_206 }))).catch(String),
    );
  });
  const refused = "Error: Cannot use the store within its own transaction: that is what `tx` is for";
  expect(await Promise.all(inner)).toEqual([refused, refused]);
  expect(await revision()).toBe(1);
});

test("work that waits is refused, and undone", async () => {
  const waiting = store.transaction(cause, async (tx) => {
    insertCircuit(tx, newCircuit({ port: 10_205 }));
    await Bun.sleep(0);
  });
  expect(await waiting.catch(String)).toBe("Error: Cannot wait within a transaction: its work is synchronous");
  expect(await revision()).toBe(0);
});

test("a read sees one state, whatever another process writes meanwhile", async () => {
  const other = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  const seen = store.readNow((q) => {
    const before = getWorker(q, WORKER)?.revision;
    other.writeNow({ requestId: null, peer: null, now: NOW }, (tx) => insertCircuit(tx, newCircuit({ port: 10_205 })));
    return [before, getWorker(q, WORKER)?.revision];
  });
  other.close();
  expect([seen, await revision()]).toEqual([[0, 0], 1]);
});

test("while another connection has the lock transactions wait in order; after their patience they are refused", async () => {
  const other = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  const done: string[] = [];
  const ask = (name: string) => store.transaction(cause, () => done.push(name));
  other.db.run("BEGIN IMMEDIATE");
  const refused = [ask("a"), ask("b")].map((one) => one.catch((error: unknown) => error));
  for (const error of await Promise.all(refused)) expect(error).toMatchObject({ kind: "service-unavailable" });
  const waiting = [ask("c"), ask("d")];
  expect([done, await revision()]).toEqual([[], 0]);
  other.db.run("ROLLBACK");
  const last = ask("e");
  await Promise.all([...waiting, last]);
  expect(done).toEqual(["c", "d", "e"]);
  other.close();
});

test("no more wait than there is room for: the next one is refused at once", async () => {
  const other = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  other.db.run("BEGIN IMMEDIATE");
  const waiting = Array.from({ length: 10_000 }, (_, at) => store.transaction(cause, () => at));
  const refused: unknown = await store.transaction(cause, () => "one more").catch((error: unknown) => error);
  expect(refused).toMatchObject({ kind: "service-unavailable" });
  other.db.run("ROLLBACK");
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 10_000 }, (_, at) => at));
  other.close();
});

test("who waits when the store is closed is refused", async () => {
  const path = join(directory, "another.sqlite3");
  const [one, other] = [openDb(path, () => "x"), openDb(path, () => "x")];
  other.db.run("BEGIN IMMEDIATE");
  const waiting = one.transaction(cause, () => "done").catch(String);
  other.db.run("ROLLBACK");
  one.close();
  expect(await waiting).toBe("Error: The database was closed");
  other.close();
});

test("only a transaction can write", () => {
  // @ts-expect-error: the compiler says so too.
  const writing = () => store.readNow((q) => insertCircuit(q, newCircuit({ port: 10_205 })));
  expect(writing).toThrow("nor write without one");
  expect(store.readNow((q) => getCircuit(q, WORKER))).toBeUndefined();
});

test("what has waited for a lock runs one a turn: what follows a commit comes before the next one", async () => {
  const path = join(directory, "c.sqlite3");
  const patient = openDb(path, () => crypto.randomUUID(), 60_000);
  atEnd(() => patient.close());
  const lock = await holdLock(path);
  atEnd(() => lock.release());
  const order: string[] = [];
  const all = [1, 2, 3].map(async (at) => {
    await patient.transaction(cause, () => void order.push(`${at} runs`));
    order.push(`${at} is over`);
  });
  await lock.release();
  await Promise.all(all);
  expect(order).toEqual(["1 runs", "1 is over", "2 runs", "2 is over", "3 runs", "3 is over"]);
});

test("a file that was removed or replaced takes no transaction more, and says so until it is back", async () => {
  const path = join(directory, "c.sqlite3");
  renameSync(path, `${path}.away`);
  const fault = await store.transaction(cause, (tx) => insertCircuit(tx, newCircuit({ port: 10_205 }))).catch((error: unknown) => error); // prettier-ignore
  expect(fault).toMatchObject({
    kind: "service-unavailable",
    message: expect.stringContaining("was removed or replaced"),
  });
  expect(store.fault()).toContain("was removed or replaced");
  writeFileSync(path, "another file");
  expect(await store.transaction(cause, () => 1).catch(() => "refused")).toBe("refused");
  renameSync(`${path}.away`, path);
  expect([await store.transaction(cause, () => 1), store.fault()]).toEqual([1, null]);
});

test("a disk without room is told until something can be written, what is wrong with a transaction alone is not", async () => {
  const pragma = (text: string) => store.db.values<[number]>(sql.raw(`PRAGMA ${text}`))[0]?.[0] ?? 0;
  const pages = pragma("page_count");
  pragma(`max_page_count = ${pages}`);
  const fill = () =>
    store.transaction(cause, (tx) =>
      upsertWorker(tx, portRegistration("big", { port_range: [1024, 60_000] }), crypto.randomUUID(), NOW),
    );
  await fill().catch(() => undefined);
  expect(store.fault()).toContain("full");
  pragma(`max_page_count = ${pages + 10_000}`);
  await store.transaction(cause, (tx) => upsertWorker(tx, portRegistration("w"), WORKER, NOW));
  expect(store.fault()).toBeNull();
  await store.transaction(cause, () => { throw new Failure("generic-bad-request"); }).catch(() => undefined); // prettier-ignore
  expect(store.fault()).toBeNull();
});
