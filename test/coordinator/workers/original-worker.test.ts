/** A worker that registers without a node id is the original's, and stays known as such when its heartbeats are late. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { dropExpiredNodes, liveNodes, NAMELESS_NODE, renewLease } from "../../../coordinator/store/nodes.ts";
import { getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import type { WorkerRegistration } from "../../../shared/protocol/schema/worker.ts";
import { WORKER } from "../../support/values.ts";
import { read, write } from "../../support/store.ts";

let directory: string;
let database: SqliteStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-original-"));
  database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
});
afterEach(() => {
  database.close();
  rmSync(directory, { recursive: true });
});

// prettier-ignore
const REGISTRATION: WorkerRegistration = {
  authority: "w1", frontend_mode: "port", protocol: "http", hostname: "worker.example", tls_listen: false, tls_advertised: false,
  api_port: 5050, port_range: [30_000, 30_009], accepted_traffics: ["interactive"], filtered_apps_only: false,
};
const SILENT = { revision: null, agrees: null, usageDelayed: false, routeReports: null, jwtKeys: null };

test("its lease may run out before it counts as lost: nobody waits for words that it does not know", () => {
  write(database, (tx) => upsertWorker(tx, REGISTRATION, WORKER, 1000));
  write(database, (tx) => renewLease(tx, { workerId: WORKER, nodeId: NAMELESS_NODE }, SILENT, 2000), { now: 1000 });
  write(database, (tx) => dropExpiredNodes(tx, 3000));
  expect([
    read(database, (q) => liveNodes(q, WORKER, 3000)),
    read(database, (q) => getWorker(q, WORKER))?.isOriginal,
  ]).toEqual([0, true]);
});

test("one of ours that takes its place is asked to acknowledge everything", () => {
  write(database, (tx) => upsertWorker(tx, REGISTRATION, WORKER, 1000));
  write(database, (tx) => upsertWorker(tx, { ...REGISTRATION, node_id: "node-1" }, "another-id", 2000));
  expect(read(database, (q) => getWorker(q, WORKER))?.isOriginal).toBe(false);
});
