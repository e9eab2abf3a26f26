/** A worker may not take over the record of a living one of its authority. A real SQLite file; the clock is the test's. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { createNodeRevisions } from "../../../coordinator/delivery/node-revisions.ts";
import { createObservation } from "../../../coordinator/observation.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { createWorkerService, type WorkerService } from "../../../coordinator/workers/service.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { WorkerRegistration } from "../../../shared/protocol/schema/worker.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { API_SECRET } from "../../support/manager.ts";
import { portRegistration } from "../../support/rows.ts";
import { coordinatorToml } from "../../support/toml.ts";
import { refused } from "../../support/values.ts";

const FIRST = portRegistration("w", { node_id: "n1" });
const OTHER = { ...FIRST, node_id: "n2", api_port: 5051, port_range: [20_000, 20_009] };
const TIMEOUT_MS = 30_000;
const LEASE_MS = TIMEOUT_MS / 2;

let directory: string;
let database: SqliteStore;
let now: number;
let service: WorkerService;
let lines: Record<string, unknown>[];

/** What a coordinator starts with on the database. */
function start(): WorkerService {
  const toml = coordinatorToml("unused", { coordinator: { worker_heartbeat_timeout: TIMEOUT_MS / 1000 } });
  const config = loadCoordinatorConfig("test", toml, {}).values;
  const { bus, live } = memoryMessengers(silentLog())(createCodec(API_SECRET, false));
  const log = pino({ level: "info" }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const deps = { config, database, bus, live, log, now: () => now, newId: () => crypto.randomUUID() };
  const noRefusals = { told: () => Promise.resolve(), left: () => undefined };
  return createWorkerService(deps, createObservation(deps.now), createNodeRevisions(deps), noRefusals);
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-contradiction-"));
  database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
  lines = [];
  now = 1_787_000_000_000;
  service = start();
  // It has seen more than a lease: what it knows of leases is true.
  now += TIMEOUT_MS;
  await service.register(FIRST, "10.0.0.1");
});
afterEach(() => {
  database.close();
  rmSync(directory, { recursive: true, force: true });
});

const recorded = async () => {
  const [{ api_port, port_range, nodes } = {}] = await service.list();
  return { api_port, port_range, nodes };
};
const UNCHANGED = { api_port: 5050, port_range: [10_205, 10_214] };
const CHANGED = { api_port: 5051, port_range: [20_000, 20_009] };
const refuse = (wanted: WorkerRegistration) => refused(() => service.register(wanted, "10.0.0.2"));
const id = async () => (await service.list())[0]?.id ?? "";

describe("a registration that contradicts a living node", () => {
  test("is refused, and nothing of it is recorded", async () => {
    expect(await refuse(OTHER)).toEqual({
      kind: "appproxy/worker-conflict",
      msg: 'authority: "w" is a living worker\'s, which says otherwise: api_port: 5050 there, 5051 here; port_range: [10205,10214] there, [20000,20009] here; wanted an authority of its own, or the same configuration',
    });
    expect(await recorded()).toEqual({ ...UNCHANGED, nodes: 1 });
  });

  test("is told in the log with both sides and where they are, once a minute", async () => {
    const told = () => lines.filter(({ level }) => level === 40);
    await refuse(OTHER);
    await refuse(OTHER);
    expect(told()).toMatchObject([
      {
        worker: "w",
        living: [{ node: "n1", from: "10.0.0.1" }],
        living_api: "http://worker.example:5050",
        refused: { node: "n2", from: "10.0.0.2" },
        refused_api: "http://worker.example:5051",
        facts: {
          api_port: { living: 5050, refused: 5051 },
          port_range: { living: [10_205, 10_214], refused: [20_000, 20_009] },
        },
        msg: "registration refused: a living node of this authority says otherwise; each worker needs an authority of its own",
      },
    ]);
    for (let beats = 0; beats < 7; beats++) {
      now += 9000;
      await service.heartbeat(await id(), { node_id: "n1" });
    }
    await refuse(OTHER);
    expect(told()).toHaveLength(2);
  });

  test("is recorded as soon as the living node's lease has run out", async () => {
    now += LEASE_MS - 1;
    await refuse(OTHER);
    now += 1;
    expect(await service.register(OTHER)).toMatchObject(CHANGED);
    expect(await recorded()).toEqual({ ...CHANGED, nodes: 1 });
  });

  test("is recorded when the living node has left", async () => {
    await service.deregister(await id(), "n1");
    expect(await service.register(OTHER)).toMatchObject(CHANGED);
  });

  test("is refused after a restart of the coordinator too, until the living node could be heard", async () => {
    now += 10 * TIMEOUT_MS;
    service = start();
    await refuse(OTHER);
    now += LEASE_MS - 1;
    await refuse(OTHER);
    now += 1;
    expect(await service.register(OTHER)).toMatchObject(CHANGED);
  });
});

describe("taken is one", () => {
  test("of the same node", async () => {
    expect(await service.register({ ...OTHER, node_id: "n1" })).toMatchObject({ ...CHANGED, nodes: 1 });
  });

  test("that takes the living node's place; that one is refused from then on, and comes back when the other has ended", async () => {
    const successor = { ...OTHER, supersedes: "n1" };
    expect(await service.register(successor)).toMatchObject({ ...CHANGED, nodes: 2 });
    await refuse(FIRST);
    expect(await service.register(successor)).toMatchObject({ ...CHANGED, nodes: 2 });
    await service.deregister(await id(), "n2");
    expect(await service.register(FIRST)).toMatchObject({ ...UNCHANGED, nodes: 1 });
  });

  test("that takes a living node's place while others live with what that one has said", async () => {
    await service.register({ ...FIRST, node_id: "n3" });
    expect(await service.register({ ...OTHER, supersedes: "n1" })).toMatchObject({ ...CHANGED, nodes: 3 });
    await refuse({ ...FIRST, node_id: "n3" });
    expect(await service.register({ ...OTHER, node_id: "n4", supersedes: "n3" })).toMatchObject({
      ...CHANGED,
      nodes: 4,
    });
  });

  test("of another node with the same facts, however many there are", async () => {
    for (const [at, node_id] of ["n2", "n3", "n4"].entries())
      expect(await service.register({ ...FIRST, hostname: "WORKER.example", node_id })).toMatchObject({ ...UNCHANGED, nodes: at + 2 });
  }); // prettier-ignore

  test("of another authority", async () => {
    expect(await service.register({ ...OTHER, authority: "w2" })).toMatchObject(CHANGED);
  });
});

test("who names a node that does not live takes no place", async () => {
  for (const supersedes of ["n9", "n2", ""]) await refuse({ ...OTHER, supersedes });
  expect(await recorded()).toEqual({ ...UNCHANGED, nodes: 1 });
});

describe("a worker of the original, which has no node id,", () => {
  const { node_id: _id, ...OLD } = OTHER;

  test("registers beside a node that says the same, or in the place of one that has ended", async () => {
    const { node_id: _own, ...same } = FIRST;
    expect(await service.register(same)).toMatchObject({ ...UNCHANGED, nodes: 2 });
    for (const node of ["n1", null]) await service.deregister(await id(), node);
    expect(await service.register(OLD)).toMatchObject({ ...CHANGED, nodes: 1 });
  });

  test("is refused while a node of ours says otherwise, and the other way round", async () => {
    await refuse(OLD);
    await service.deregister(await id(), "n1");
    await service.register(OLD);
    await refuse(FIRST);
    now += LEASE_MS;
    expect(await service.register(FIRST)).toMatchObject(UNCHANGED);
  });

  test("replaces what it has said itself, as ever: two of them can't be told from each other", async () => {
    await service.deregister(await id(), "n1");
    await service.register(OLD);
    expect(await service.register({ ...OLD, api_port: 6000 })).toMatchObject({ api_port: 6000, nodes: 1 });
  });
});
