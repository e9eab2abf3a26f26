/** What is taken over from the original's database: from a real PostgreSQL with its schema into a real SQLite. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { SQL } from "bun";
import { circuitOfEndpoint, getCircuit } from "../../../coordinator/store/circuit-queries.ts";
import { insertCircuit, removeCircuit, toCircuit, updateRoutes } from "../../../coordinator/store/circuits.ts";
import { getToken } from "../../../coordinator/store/tokens.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { readOriginal } from "../../../coordinator/import/source.ts";
import { takeOver, type Line } from "../../../coordinator/import/take-over.ts";
import { circuitsFor } from "../../../coordinator/store/changes-since.ts";
import { findWorkers, getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { slotsOf } from "../../../coordinator/store/slots.ts";
import * as original from "../../support/original-database.ts";
import { id } from "../../support/original-database.ts";
import { startPostgres, type Postgres } from "../../support/postgres.ts";
import { newCircuit, portRegistration } from "../../support/rows.ts";
import { USER } from "../../support/values.ts";
import { read, write } from "../../support/store.ts";

const NOW = Date.parse("2026-11-26T12:00:00Z");

// PostgreSQL takes its time on a busy machine.
setDefaultTimeout(120_000);

let postgres: Postgres;
let sql: SQL;
let store: SqliteStore;
const directory = mkdtempSync(join(tmpdir(), "app-proxy-import-"));
const closing: SqliteStore[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  sql = await postgres.create("appproxy");
  await original.createSchema(sql);
});
afterAll(async () => {
  for (const one of closing) one.close();
  rmSync(directory, { recursive: true });
  await postgres.stop();
});
beforeEach(async () => {
  await sql.unsafe("TRUNCATE circuits, endpoints, tokens, worker_app_filters, workers CASCADE");
  const opened = openDb(join(directory, `${crypto.randomUUID()}.sqlite3`), () => crypto.randomUUID());
  store = opened;
  closing.push(opened);
});

async function take(now = NOW): Promise<Line[]> {
  const tables = await readOriginal(postgres.url("appproxy"));
  return takeOver(store, tables, { now, newId: () => crypto.randomUUID(), tokenLifetime: 600_000 });
}

/** `outcome: about` of the lines about a thing. */
function said(lines: readonly Line[], about: string): string[] {
  return lines.filter((line) => line.id === about).map((line) => `${line.outcome}: ${line.about}`);
}

describe("a circuit", () => {
  test("keeps its id, slot, routes and time; its worker is known and LOST until it is heard of", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "worker_app_filters", {
      id: id("f", 1),
      property_name: "session.user_uuid",
      property_value: USER,
      worker: id("w", 1),
    });
    await original.insert(sql, "circuits", original.circuit());
    const lines = await take();
    expect(lines).toEqual([
      { what: "worker", id: id("w", 1), outcome: "taken over", about: "worker-http" },
      {
        what: "circuit",
        id: id("c", 1),
        outcome: "taken over",
        about: "jupyter at worker-http, http://127.0.0.1:10207/",
      },
    ]);
    const row = read(store, (q) => getCircuit(q, id("c", 1)));
    expect(row === undefined ? null : toCircuit(row)).toEqual({
      id: id("c", 1),
      app: "jupyter",
      protocol: "http",
      worker: id("w", 1),
      app_mode: "interactive",
      frontend_mode: "port",
      envs: {},
      arguments: null,
      open_to_public: false,
      allowed_client_ips: null,
      port: 10_207,
      subdomain: null,
      user_id: USER,
      endpoint_id: null,
      runtime_variant: null,
      route_info: [
        {
          route_id: null,
          session_id: id("s", 1),
          session_name: null,
          kernel_host: "10.0.3.17",
          kernel_port: 30_001,
          protocol: "http",
          traffic_ratio: 1,
        },
      ],
      session_ids: [id("s", 1)],
      created_at: "2026-08-23T11:07:46.594Z",
      updated_at: "2026-11-26T12:00:00.000Z",
      origin_request_id: null,
      revision: 1,
    });
    const worker = read(store, (q) => getWorker(q, id("w", 1)));
    expect(worker).toMatchObject({ authority: "worker-http", status: "LOST", portLow: 10_205, portHigh: 10_284 });
    const slots = worker === undefined ? [] : read(store, (q) => slotsOf(q, worker, Date.now()));
    expect(slots.filter((slot) => slot.in_use).map((slot) => slot.port)).toEqual([10_207]);
    expect(slots).toHaveLength(80);
  });

  test("is in the snapshot that its worker fetches, with the digest of it; no event tells of it", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit(), original.service());
    await take();
    const worker = read(store, (q) => getWorker(q, id("w", 1)));
    const snapshot = worker === undefined ? null : read(store, (q) => circuitsFor(q, worker, "epoch", null));
    expect(snapshot).toMatchObject({ revision: 2, circuits: [{}, {}] });
    expect(worker?.digest).not.toBe(0);
    expect(store.db.query.changes.findMany().sync().map((change) => change.publishedAt)).toEqual([NOW, NOW]); // prettier-ignore
  });

  test("of a worker that is here already goes to that one, whatever its id", async () => {
    const here = write(store, (tx) =>
      upsertWorker(tx, portRegistration("worker-http", { port_range: [10_205, 10_284] }), id("x", 9), NOW),
    );
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit());
    const lines = await take();
    expect(lines.map((line) => line.what)).toEqual(["circuit"]);
    expect(read(store, (q) => getCircuit(q, id("c", 1)))?.workerId).toBe(here.id);
    expect(read(store, (q) => getWorker(q, here.id))?.status).toBe("ALIVE");
  });

  test("of a wildcard worker keeps its name, and of raw TCP its port", async () => {
    const tcp = original.worker({ id: id("w", 3), authority: "worker-tcp", protocol: "TCP", port_range: [2200, 2209] });
    await original.insert(sql, "workers", original.wildcardWorker(), tcp);
    const wild = { worker: id("w", 2), frontend_mode: "WILDCARD_DOMAIN", port: null, subdomain: "app-059691e0" };
    await original.insert(
      sql,
      "circuits",
      original.circuit(wild),
      original.circuit({ id: id("c", 3), app: "sshd", worker: id("w", 3), protocol: "TCP", port: 2200 }),
    );
    const lines = await take();
    expect(said(lines, id("c", 1))).toEqual([
      "taken over: jupyter at worker-wildcard, http://app-059691e0.apps.localhost:10250/",
    ]);
    expect(said(lines, id("c", 3))).toEqual(["taken over: sshd at worker-tcp, port 2200"]);
    expect(read(store, (q) => getCircuit(q, id("c", 3)))).toMatchObject({ protocol: "tcp", port: 2200 });
  });

  test("has what older versions wrote of it: routes as JSON text, keys with hyphens, nothing where a default is", async () => {
    await original.insert(sql, "workers", original.worker({ protocol: "HTTP2" }));
    const old = JSON.stringify([
      { "session-id": id("s", 1), "kernel-host": "Node-1", "kernel-port": 30_001, "health-status": "healthy" },
    ]);
    const bare = { protocol: "HTTP2", envs: null, route_info: old, created_at: null, app: null };
    await original.insert(sql, "circuits", original.circuit(bare));
    await take();
    expect(read(store, (q) => getCircuit(q, id("c", 1)))).toMatchObject({
      protocol: "h2",
      envs: {},
      app: "",
      createdAt: NOW,
      routeInfo: [{ kernel_host: "node-1", kernel_port: 30_001, protocol: "h2", traffic_ratio: 1, route_id: null }],
    });
  });
});

describe("a model service", () => {
  test("keeps endpoint, URL and health check, though its row says neither its sessions nor `enable`", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "endpoints", original.endpoint());
    await original.insert(sql, "circuits", original.service());
    const lines = await take();
    expect(said(lines, id("c", 2))).toEqual([
      "taken over: model service llama at worker-http, http://127.0.0.1:10208/",
    ]);
    const row = read(store, (q) => circuitOfEndpoint(q, id("e", 1)));
    expect(row).toMatchObject({ id: id("c", 2), appMode: "inference", runtimeVariant: "vllm", userId: USER });
    expect(row?.healthCheck).toEqual({
      interval: 10,
      path: "/health",
      max_retries: 10,
      max_wait_time: 15,
      expected_status_code: 200,
      initial_delay: 60,
    });
    expect(row === undefined ? [] : toCircuit(row).session_ids).toEqual([id("s", 2)]);
  });

  test.each([
    ["is not enabled", { health_check_enabled: false }],
    ["has nothing", { health_check_config: null }],
  ])("whose health check %s has none", async (_what, over) => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "endpoints", original.endpoint(over));
    await original.insert(sql, "circuits", original.service());
    await take();
    expect(read(store, (q) => circuitOfEndpoint(q, id("e", 1)))?.healthCheck).toBeNull();
  });

  test("stays without a route or a health check that can't be read, and both are named", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "endpoints", original.endpoint({ health_check_config: '{"interval": "often"}' }));
    const routes = [original.route({ kernel_port: 0 }), original.route({ kernel_host: "169.254.169.254" })];
    await original.insert(sql, "circuits", original.service({ route_info: routes }));
    const lines = await take();
    expect(read(store, (q) => getCircuit(q, id("c", 2)))).toMatchObject({ routeInfo: [], healthCheck: null });
    expect(lines.filter((line) => line.what === "note").map((line) => `${line.id} ${line.about}`)).toEqual([
      `${id("c", 2)} circuits: route_info.0: kernel_port: wanted an integer from 1 to 65535, got 0; this route is left out`,
      `${id("c", 2)} circuits: route_info.1: kernel_host: wanted an address that a kernel can have, got "169.254.169.254"; this route is left out`,
      `${id("e", 1)} endpoints: health_check_config: interval: wanted a number or null, got "often"; its kernels are not probed`,
    ]);
  });
});

describe("what can't be taken over is named with table, row and field:", () => {
  test.each([
    ["a port that is none", { port: 0 }, "circuits: port: wanted an integer from 1 to 65535 or null, got 0"],
    ["no port", { port: null }, "circuits: port: wanted a port, got nothing"],
    ["no way to a kernel", { route_info: [] }, "circuits: route_info: wanted a way to a kernel, got none"],
    ["routes that are no list", { route_info: "nonsense" }, "circuits: route_info: wanted a list"],
    [
      "a route without a session",
      { route_info: [original.route({ session_id: null })] },
      "circuits: route_info.0: session_id: wanted a UUID, got null",
    ],
    ["nobody's", { user_id: null }, "circuits: user_id: wanted a UUID, got nothing: nobody could be let in"],
    [
      "an address list of which nothing can be read",
      { allowed_client_ips: "everybody" },
      'circuits: allowed_client_ips: wanted addresses or CIDR ranges, got "everybody"',
    ],
    [
      "a name that is no label",
      { frontend_mode: "WILDCARD_DOMAIN", port: null, subdomain: "a.b" },
      'circuits: subdomain: wanted a label of a host name, got "a.b"',
    ],
    [
      "a port outside its worker's range",
      { port: 9999 },
      "port: 9999 is no slot of worker worker-http, which has ports 10205–10284",
    ],
  ])("%s", async (_what, over, about) => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit(over), original.service());
    const lines = await take();
    expect(said(lines, id("c", 1))).toEqual([`skipped: ${about}`]);
    expect(read(store, (q) => getCircuit(q, id("c", 1)))).toBeUndefined();
    expect(read(store, (q) => getCircuit(q, id("c", 2)))).toBeDefined();
  });

  test("a worker, and with it its circuits", async () => {
    await original.insert(sql, "workers", original.worker({ port_range: null }));
    await original.insert(sql, "circuits", original.circuit());
    const lines = await take();
    expect(said(lines, id("w", 1))).toEqual([
      "skipped: workers: port_range: wanted [first, last] for a worker in port mode, got null",
    ]);
    expect(said(lines, id("c", 1))).toEqual([`skipped: worker: ${id("w", 1)} was skipped`]);
  });

  test("an entry of an address list, while the others count", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit({ allowed_client_ips: "10.0.0.0/8, me" }));
    const lines = await take();
    expect(read(store, (q) => getCircuit(q, id("c", 1)))?.allowedClientIps).toBe("10.0.0.0/8");
    expect(said(lines, id("c", 1))).toContain(
      'left out: circuits: allowed_client_ips: "me" is no address and is left out',
    );
  });
});

describe("where two want the same, the newer one has it:", () => {
  const older = { id: id("c", 5), created_at: "2026-08-01T00:00:00+00:00" };

  test("a port", async () => {
    await original.insert(sql, "workers", original.worker());
    const stale = original.circuit({ ...older, route_info: [original.route({ kernel_port: 30_005 })] });
    await original.insert(sql, "circuits", stale, original.circuit());
    const lines = await take();
    expect(said(lines, id("c", 5))).toEqual([
      `skipped: port: 10207 of worker-http carries circuit ${id("c", 1)} by now`,
    ]);
  });

  test("an endpoint", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.service({ ...older, port: 10_220 }), original.service());
    const lines = await take();
    expect(said(lines, id("c", 5))).toEqual([`skipped: endpoint_id: ${id("e", 1)} has circuit ${id("c", 2)} by now`]);
  });

  test("a kernel's address, which was another session's", async () => {
    await original.insert(sql, "workers", original.worker());
    const stale = original.route({ session_id: id("s", 9) });
    const service = original.service({
      ...older,
      route_info: [stale, original.route({ kernel_port: 1, session_id: id("s", 8) })],
    });
    await original.insert(
      sql,
      "circuits",
      original.circuit(),
      original.circuit({ id: id("c", 6), created_at: older.created_at, port: 10_209, route_info: [stale] }),
      service,
    );
    const lines = await take();
    expect(said(lines, id("c", 6))).toEqual(["skipped: route_info: its kernel's address is another session's by now"]);
    expect(read(store, (q) => getCircuit(q, id("c", 5)))?.routeInfo.map((route) => route.kernel_port)).toEqual([1]);
  });

  test("and what is here already stays", async () => {
    const here = write(store, (tx) =>
      upsertWorker(tx, portRegistration("worker-http", { port_range: [10_205, 10_284] }), id("x", 9), NOW),
    );
    const mine = write(store, (tx) => insertCircuit(tx, newCircuit({ workerId: here.id, port: 10_207 })));
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit());
    expect(said(await take(), id("c", 1))).toEqual([
      `skipped: port: 10207 of worker-http carries circuit ${mine.id} by now`,
    ]);
  });
});

describe("done again it", () => {
  const LATER = NOW + 3_600_000;
  const moved = [original.route({ route_id: id("r", 2), session_id: id("s", 3), kernel_port: 30_009 })];

  beforeEach(async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit(), original.service());
    await original.insert(sql, "tokens", original.token());
    await take();
  });
  const service = () => read(store, (q) => getCircuit(q, id("c", 2)));

  test("changes nothing", async () => {
    const state = () => [
      store.db.query.circuits.findMany().sync(),
      store.db.query.changes.findMany().sync(),
      store.db.query.workers.findMany().sync(),
      store.db.query.tokens.findMany().sync(),
    ];
    const before = state();
    const lines = await take(LATER);
    expect(lines.map((line) => [line.what, line.outcome])).toEqual([
      ["circuit", "there already"],
      ["circuit", "there already"],
    ]);
    expect(state()).toEqual(before);
  });

  test("brings up to date what only the original has changed", async () => {
    await sql.unsafe("UPDATE circuits SET route_info = $1::text::jsonb WHERE id = $2", [
      JSON.stringify(moved),
      id("c", 2),
    ]);
    expect(said(await take(LATER), id("c", 2))).toEqual([
      "brought up to date: model service llama at worker-http, http://127.0.0.1:10208/",
    ]);
    expect(service()?.routeInfo.map((route) => route.kernel_port)).toEqual([30_009]);
    expect(said(await take(LATER), id("c", 2))[0]).toStartWith("there already");
  });

  test("leaves what was changed here", async () => {
    const row = service();
    write(store, (tx) => row && updateRoutes(tx, row, []));
    await sql.unsafe("UPDATE circuits SET app = 'other' WHERE id = $1", [id("c", 2)]);
    expect(said(await take(LATER), id("c", 2))).toEqual([
      "there already: model service llama at worker-http, http://127.0.0.1:10208/, changed here since: stays as it is",
    ]);
    expect(service()?.routeInfo).toEqual([]);
  });

  test("does not bring back what has ended here", async () => {
    const row = read(store, (q) => getCircuit(q, id("c", 1)));
    write(store, (tx) => row && removeCircuit(tx, row, "deleted"));
    expect(said(await take(LATER), id("c", 1))).toEqual([
      "there already: was taken over before and has ended here since",
    ]);
    expect(read(store, (q) => getCircuit(q, id("c", 1)))).toBeUndefined();
  });

  test("ends nothing that the original lacks by now, but names it and lets newer ones have its place", async () => {
    await sql.unsafe("DELETE FROM circuits WHERE id = $1", [id("c", 1)]);
    const lines = await take(LATER);
    expect(said(lines, id("c", 1))[0]).toContain("the original has ended it since");
    expect(read(store, (q) => getCircuit(q, id("c", 1)))).toBeDefined();
    await original.insert(sql, "circuits", original.circuit({ id: id("c", 7), session_ids: [id("s", 7)], route_info: [original.route({ session_id: id("s", 7) })] })); // prettier-ignore
    expect(said(await take(LATER), id("c", 7))[0]).toStartWith("taken over");
    expect(read(store, (q) => getCircuit(q, id("c", 1)))).toBeUndefined();
  });
});

describe("a token of /v2/conf", () => {
  test("is taken over where a circuit of its session leads to its kernel, for one lifetime; its text is not shown", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit());
    await original.insert(
      sql,
      "tokens",
      original.token(),
      original.token({ id: id("t", 2), kernel_port: 30_444 }),
      original.token({ id: id("t", 3), session_id: id("s", 44) }),
    );
    const lines = await take();
    expect(read(store, (q) => getToken(q, id("t", 1)))).toMatchObject({ sessionId: id("s", 1), projectId: id("g", 1), userId: USER, expiresAt: NOW + 600_000 }); // prettier-ignore
    expect([read(store, (q) => getToken(q, id("t", 2))), read(store, (q) => getToken(q, id("t", 3)))]).toEqual([
      undefined,
      undefined,
    ]);
    expect(JSON.stringify(lines)).not.toContain(id("t", 1));
  });
});

test("a worker without circuits is not made: it registers by itself", async () => {
  await original.insert(sql, "workers", original.worker());
  expect(await take()).toEqual([]);
  expect(read(store, (q) => findWorkers(q))).toEqual([]);
});
