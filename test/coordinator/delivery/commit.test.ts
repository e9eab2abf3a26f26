/** What follows a commit: published, waits ended, logged, in one order, and nothing of it when nothing was committed. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { takeOverKernels, circuitsOfOthers } from "../../../coordinator/circuits/end-routes.ts";
import { createCommit, type Commit } from "../../../coordinator/delivery/commit.ts";
import { insertCircuit, moveCircuit, removeCircuit, updateCircuit, updateRoutes } from "../../../coordinator/store/circuits.ts"; // prettier-ignore
import type { CircuitRow } from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { EndReason } from "../../../coordinator/store/recorded.ts";
import { ITSELF } from "../../../coordinator/store/store.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { upsertWorker } from "../../../coordinator/store/workers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { write } from "../../support/store.ts";
import { route, USER, WORKER } from "../../support/values.ts";

const CALLER = { requestId: "req-1", peer: "10.0.0.7" };
const THEIRS = { request_id: "req-1", peer: "10.0.0.7" };
const ENDPOINT = "0e000000-0000-4000-8000-00000000000a";

let directory: string;
let store: SqliteStore;
/** What was done, in order. */
let done: unknown[];
let commit: Commit;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-commit-"));
  store = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  done = [];
  for (const [id, authority] of [[WORKER, "w1"], ["w2", "w2"]] as const) write(store, (tx) => upsertWorker(tx, portRegistration(authority), id, NOW)); // prettier-ignore
  const log = pino({ base: null, timestamp: false }, { write: (line) => done.push(JSON.parse(line)) });
  commit = createCommit(
    { database: store, now: () => NOW + 60_000, log },
    {
      publisher: { wake: () => done.push("published") },
      acknowledgements: { forget: (id, outcome) => done.push(`forgot ${id} ${outcome}`) },
      nodeRevisions: { settled: (ended) => Promise.resolve(void done.push(`settled ${ended.length}`)) },
    },
  );
});

afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

const made = (over: Parameters<typeof newCircuit>[0] = {}) =>
  write(store, (tx) => insertCircuit(tx, newCircuit({ port: 10_205, originRequestId: "req-0", ...over })));
/** What a line says of a circuit that somebody has opened, and of a model service's. */
const about = ({ id, port }: Pick<CircuitRow, "id" | "port">, worker = "w1") => {
  const { session_id: session, kernel_host: host, kernel_port } = route();
  const whose = { user: USER, session, kernel: `${host}:${kernel_port}` };
  return { circuit: id, worker, app: "jupyter", port, ...whose, origin_request_id: "req-0" };
};
const service = ({ id, port }: CircuitRow, worker = "w1") => {
  return { circuit: id, worker, app: "jupyter", port, endpoint: ENDPOINT, user: USER, origin_request_id: "req-0" };
};

test("a circuit that is made is published, and logged by nobody here", async () => {
  const { result } = await commit(CALLER, (tx) => insertCircuit(tx, newCircuit({ port: 10_205 })).revision);
  expect([result, done]).toEqual([1, ["published"]]);
});

test("work that changes no circuit, and work that fails, is followed by nothing", async () => {
  const row = made();
  await commit(ITSELF, () => undefined);
  const failing = commit(ITSELF, (tx) => {
    removeCircuit(tx, row, "deleted");
    throw new Error("rolled back");
  });
  expect(await failing.catch(String)).toBe("Error: rolled back");
  expect(done).toEqual([]);
});

describe("a circuit that ends", () => {
  test.each<[EndReason, string, object]>([
    ["deleted", "circuit deleted", {}],
    ["closed-by-user", "circuit closed by its user", {}],
    ["collected", "circuit collected: nobody has used it", { unused_for_s: 60 }],
    ["session-over", "circuit closed: the session is over", {}],
    ["kernel-refuses", "circuit closed: its kernel is gone and refuses connections", {}],
  ])("because it was %s is told of, not waited for any more, and logged", async (why, msg, more) => {
    const row = made();
    await commit(CALLER, (tx) => removeCircuit(tx, row, why));
    const line = { level: 30, ...about(row), ...THEIRS, ...more, msg };
    expect(done).toEqual(["published", `forgot ${row.id} superseded`, line]);
  });

  test("because nobody acknowledged it is late for who waits, who logs it", async () => {
    const row = made();
    await commit(ITSELF, (tx) => removeCircuit(tx.onBehalfOf(CALLER), row, "withdrawn"));
    expect(done).toEqual(["published", `forgot ${row.id} late`]);
    expect(store.db.query.changes.findMany().sync().at(-1)).toMatchObject({ kind: "withdrawn", requestId: "req-1" });
  });

  test("because its kernel is another session's is waited for at the nodes", async () => {
    const row = made();
    const other = { ...route(), session_id: crypto.randomUUID() };
    const { settled } = await commit(CALLER, (tx) => takeOverKernels(tx, [other], circuitsOfOthers(tx, [other])));
    await settled();
    const msg = "circuit closed: its kernel is another session's by now";
    const line = { level: 30, ...about(row), ...THEIRS, msg };
    expect(done).toEqual(["published", `forgot ${row.id} superseded`, line, "settled 1"]);
  });
});

test("a circuit that goes on is logged where its routes are others, or it has moved", async () => {
  const app = made();
  const model = made({ port: 10_206, appMode: "inference", endpointId: ENDPOINT });
  const slot = { workerId: "w2", frontendMode: "port" as const, subdomain: null };
  await commit(ITSELF, (tx) => {
    const opened = updateCircuit(tx, model, { openToPublic: true });
    const routed = updateRoutes(tx, opened, []);
    moveCircuit(tx, routed, { ...slot, port: 10_206 }, true);
    moveCircuit(tx, app, { ...slot, port: 10_205 }, false);
  });
  const gone = "its worker or its slot is gone, or its port can't be opened";
  expect(done).toEqual([
    "published",
    { level: 30, ...service(model), routes: 1, msg: "endpoint changed" },
    { level: 30, ...service(model), routes: 0, msg: "routes changed" },
    { level: 40, ...service(model, "w2"), msg: `endpoint moved, with another URL: ${gone}` },
    { level: 30, ...about(app, "w2"), msg: `circuit moved: ${gone}` },
  ]);
});
