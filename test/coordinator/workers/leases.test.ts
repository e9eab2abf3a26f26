/** Leases of workers' nodes when a coordinator starts after a while: nobody could renew them. A real SQLite file; the clock is the test's. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { createObservation } from "../../../coordinator/observation.ts";
import { createNodeRevisions } from "../../../coordinator/delivery/node-revisions.ts";
import { createWorkerService, type WorkerService } from "../../../coordinator/workers/service.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { API_SECRET } from "../../support/manager.ts";
import { portRegistration } from "../../support/rows.ts";
import { coordinatorToml } from "../../support/toml.ts";

const WORKER = portRegistration("w", { port_range: [30_000, 30_009] });
const TIMEOUT = 30;

let directory: string;
let database: SqliteStore;
let now: number;
let id: string;
let service: WorkerService;
const noRefusals = { told: () => Promise.resolve(), left: () => undefined };

/** What a coordinator starts with on the database. */
function start(): WorkerService {
  const toml = coordinatorToml("unused", { coordinator: { worker_heartbeat_timeout: TIMEOUT } });
  const config = loadCoordinatorConfig("test", toml, {}).values;
  const { bus, live } = memoryMessengers(silentLog())(createCodec(API_SECRET, false));
  const newId = () => crypto.randomUUID();
  const deps = { config, database, bus, live, log: silentLog(), now: () => now, newId };
  return createWorkerService(deps, createObservation(deps.now), createNodeRevisions(deps), noRefusals);
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-leases-"));
  database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
  now = 1_787_000_000_000;
  service = start();
  for (const node_id of ["n1", "n2"]) ({ id } = await service.register({ ...WORKER, node_id }));
  now += 600_000;
  service = start();
});

afterEach(() => {
  database.close();
  rmSync(directory, { recursive: true, force: true });
});

test("a worker lives on when one of its nodes leaves before the other could say that it is there", async () => {
  await service.sweep();
  await service.heartbeat(id, { node_id: "n1" });
  await service.deregister(id, "n1");
  expect((await service.get(id)).status).toBe("ALIVE");
  await service.heartbeat(id, { node_id: "n2" });
  expect(await service.get(id)).toMatchObject({ status: "ALIVE", nodes: 1 });
});

test("a worker is lost when it says nothing for as long as at any other time", async () => {
  now += TIMEOUT * 1000 - 1;
  await service.sweep();
  expect((await service.get(id)).status).toBe("ALIVE");
  now += 1;
  await service.sweep();
  expect((await service.get(id)).status).toBe("LOST");
});

test("what a clock ahead has written does not outlive its being set right", async () => {
  now += 7 * 3_600_000;
  await service.heartbeat(id, { node_id: "n1" });
  now -= 7 * 3_600_000;
  await service.sweep();
  expect(await service.get(id)).toMatchObject({ status: "ALIVE", nodes: 1 });
  now += TIMEOUT * 1000 + 1;
  await service.sweep();
  expect(await service.get(id)).toMatchObject({ status: "LOST", nodes: 0 });
});

test("a heartbeat says whether the node's circuits are the database's", async () => {
  const { revision, digest } = await service.get(id);
  const agrees = async (beat: object) => {
    await service.heartbeat(id, { node_id: "n1", ...beat });
    return database.db.query.nodes.findFirst({ where: (node, { eq }) => eq(node.nodeId, "n1") }).sync()?.agrees;
  };
  expect(await agrees({ revision, digest })).toBe(true);
  expect(await agrees({ revision, digest: digest + 1 })).toBe(false);
  expect(await agrees({ revision: revision + 1, digest: digest + 1 })).toBeNull();
  expect(await agrees({ revision })).toBeNull();
});

test("a heartbeat lists the slots unless it says that it needs none", async () => {
  const { slots, ...rest } = await service.heartbeat(id, { node_id: "n1" });
  expect(slots?.length).toBe(10);
  expect(await service.heartbeat(id, { node_id: "n1", slots: false })).toEqual(rest);
});
