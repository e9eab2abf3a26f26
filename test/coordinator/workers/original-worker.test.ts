/** A worker that registers without a node id is the original's, and stays known as such when its heartbeats are late. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDb, type OpenDb } from "../../../coordinator/store/open.ts";
import { dropExpiredNodes, getWorker, liveNodes, NAMELESS_NODE, renewLease, upsertWorker } from "../../../coordinator/store/workers.ts"; // prettier-ignore
import type { WorkerRegistration } from "../../../shared/protocol/schema/worker.ts";
import { WORKER } from "../../support/values.ts";

let directory: string;
let database: OpenDb;

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
const SILENT = { revision: null, agrees: null, usageDelayed: false, routeReports: null };

test("its lease may run out before it counts as lost: nobody waits for words that it does not know", () => {
  upsertWorker(database.db, REGISTRATION, WORKER, 1000);
  renewLease(database.db, WORKER, NAMELESS_NODE, SILENT, 2000, 1000);
  dropExpiredNodes(database.db, 3000);
  expect([liveNodes(database.db, WORKER, 3000), getWorker(database.db, WORKER)?.isOriginal]).toEqual([0, true]);
});

test("one of ours that takes its place is asked to acknowledge everything", () => {
  upsertWorker(database.db, REGISTRATION, WORKER, 1000);
  upsertWorker(database.db, { ...REGISTRATION, node_id: "node-1" }, "another-id", 2000);
  expect(getWorker(database.db, WORKER)?.isOriginal).toBe(false);
});
