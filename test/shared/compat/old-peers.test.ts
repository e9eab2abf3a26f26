/** What the Python original leaves out, nulls or writes in its own way, and what becomes of it at our worker and coordinator. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { pino } from "pino";
import { createCodec, fromPeer } from "../../../shared/protocol/envelope.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { createCoordinatorClient } from "../../../worker/state/coordinator-client.ts";
import { API_KEY, CIRCUIT, circuit, route, SESSION, USER, WORKER } from "../../support/values.ts";

const codec = createCodec(API_KEY, true);
const CREATED = "appproxy_circuit_created_event";
const UPDATED = "appproxy_circuit_route_updated_event";

/** An event as the original sends it, decoded. */
function decoded(name: string, payload: Record<string, unknown>): Record<string, unknown> {
  const source = "appproxy-coordinator";
  const event = codec.decode(
    JSON.stringify({ name, source, payload: JSON.stringify({ target_worker_authority: "w", ...payload }) }),
  );
  return event?.payload as unknown as Record<string, unknown>;
}

/** A circuit without fields that only our coordinator has. */
function old(over: Record<string, unknown> = {}): Record<string, unknown> {
  const { origin_request_id: _id, revision: _revision, ...rest } = circuit();
  return { ...rest, ...over };
}

/** The circuit that is read from one that was written so. */
function read(over: Record<string, unknown>): Circuit {
  const [made] = decoded(CREATED, { circuits: [old(over)] })["circuits"] as Circuit[];
  if (made === undefined) throw new Error("no circuit was read");
  return made;
}

/** Without these keys. */
function without(value: object, ...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}

describe("a route", () => {
  const optional = ["route_id", "session_name", "kernel_host", "protocol", "traffic_ratio"];
  const filled = route({ kernel_host: "localhost", kernel_port: 9 });

  test.each<[string, unknown]>([
    ["leaves out what an old row lacks", without(filled, ...optional)],
    ["has null for it", { ...filled, ...Object.fromEntries(optional.map((key) => [key, null])) }],
    ["has keys with hyphens", { "session-id": SESSION, "kernel-port": 9, "kernel-host": null }],
  ])("that %s leads to the worker's own machine with the whole share", (_what, written) => {
    expect(read({ route_info: [written] }).route_info).toEqual([filled]);
    expect(decoded(UPDATED, { circuit: old({ route_info: [written] }), routes: [written] })).toMatchObject({
      circuit: { route_info: [filled] },
      routes: [filled],
    });
  });

  test("without a protocol speaks that of its circuit", () => {
    const written = without(route(), "protocol");
    expect(read({ protocol: "tcp", route_info: [written] }).route_info[0]?.protocol).toBe("tcp");
    const update = decoded(UPDATED, { circuit: old({ protocol: "tcp" }), routes: [written] });
    expect(update).toMatchObject({ routes: [{ protocol: "tcp" }] });
  });

  test("keeps its share when that is 0, and fields of the original do no harm", () => {
    const legacy = { health_status: "healthy", last_health_check: 1787446923.5, consecutive_failures: 2 };
    const written = { ...route({ traffic_ratio: 0 }), ...legacy };
    expect(read({ route_info: [written] }).route_info).toMatchObject([route({ traffic_ratio: 0 })]);
  });
});

describe("a circuit", () => {
  const optional = ["envs", "arguments", "allowed_client_ips", "subdomain", "endpoint_id", "runtime_variant"];

  test.each<[string, Record<string, unknown>]>([
    ["leaves out", Object.fromEntries(optional.map((key) => [key, undefined]))],
    ["has null for", Object.fromEntries(optional.map((key) => [key, null]))],
  ])("that %s what it need not have is read", (_what, over) => {
    expect<unknown>(read(over)).toEqual(old());
  });

  test("without a user, an app's name or routes is that of a model service", () => {
    const over = { user_id: null, app: "", app_mode: "inference", route_info: null, session_ids: null };
    expect(read(over)).toMatchObject({ user_id: null, app: "", route_info: [], session_ids: [] });
  });

  test("without a list of sessions has those of its routes, each once", () => {
    const other = "5e5e5e5e-0000-4000-8000-000000000002";
    const routes = [route(), route({ kernel_port: 9 }), route({ session_id: other })];
    expect(read({ route_info: routes, session_ids: undefined }).session_ids).toEqual([SESSION, other]);
    expect(read({ route_info: routes, session_ids: [other] }).session_ids).toEqual([other]);
  });

  test("that does not say whether it is public is not", () => {
    expect(read({ open_to_public: null }).open_to_public).toBe(false);
    expect(read({ open_to_public: true }).open_to_public).toBe(true);
  });

  test.each(["id", "worker", "app_mode", "protocol", "app"])("without %s is refused by that name", (field) => {
    expect(() => read({ [field]: null })).toThrow(`payload/circuits/0/${field}: `);
  });
});

describe("a time", () => {
  const zone = process.env["TZ"];
  beforeAll(() => void (process.env["TZ"] = "Asia/Seoul"));
  afterAll(() => void (process.env["TZ"] = zone ?? "UTC"));

  test.each([
    ["2026-08-23T01:02:03.123456+00:00", "2026-08-23T01:02:03.123Z"],
    ["2026-08-23T10:02:03.123456+09:00", "2026-08-23T01:02:03.123Z"],
    ["2026-08-23 01:02:03.123456+00:00", "2026-08-23T01:02:03.123Z"],
    ["2026-08-23T01:02:03.123456", "2026-08-23T01:02:03.123Z"],
    ["2026-08-23 01:02:03", "2026-08-23T01:02:03.000Z"],
    ["2026-08-23T01:02:03+00:00", "2026-08-23T01:02:03.000Z"],
    ["2026-08-23T01:02:03.123Z", "2026-08-23T01:02:03.123Z"],
    [null, "1970-01-01T00:00:00.000Z"],
  ])("%p is %s wherever this machine is", (written, expected) => {
    const { created_at: created, updated_at: updated } = read({ created_at: written, updated_at: written });
    expect([created, updated]).toEqual([expected, expected]);
  });

  test("that is none is refused", () => {
    expect(() => read({ created_at: "yesterday" })).toThrow("payload/circuits/0/created_at: ");
  });
});

describe("what is no object of the original's", () => {
  test.each([
    [null],
    [5],
    ["text"],
    [[1, { a_b: 2 }]],
    [{ circuits: "none", circuit: 5, routes: null }],
    [{ circuits: [null, 5], circuit: null, routes: [null, 5] }],
  ])("%j is left to the check that follows", (value) => {
    expect<unknown>(fromPeer(value)).toEqual(value);
  });
});

describe("the worker's calls to an old coordinator", () => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  let answer: unknown;
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => Response.json(answer) });
  const client = createCoordinatorClient({ baseUrl: `http://127.0.0.1:${server.port}/`, secret: API_KEY }, log);
  afterAll(() => server.stop(true));
  afterEach(() => void (lines.length = 0));

  test("give an id from an answer that has no revision", async () => {
    answer = { id: WORKER, authority: "w", available_slots: 4, occupied_slots: 0, nodes: 1, slots: [] };
    expect(await client.heartbeat(WORKER, { node_id: "n", revision: null })).toMatchObject({ id: WORKER });
  });

  test("a heartbeat that is too long for it is sent again without reports, and told of; other refusals are not", async () => {
    const beats: unknown[] = [];
    let tooLong = 413;
    using proxy = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        const beat = (await request.json()) as { routes?: unknown };
        beats.push(beat.routes);
        return beat.routes == null ? Response.json({ id: WORKER }) : new Response("", { status: tooLong });
      },
    });
    const client = createCoordinatorClient({ baseUrl: `http://127.0.0.1:${proxy.port}`, secret: API_KEY }, log);
    const routes = [{ circuit_id: CIRCUIT, routes: [] }];
    expect(await client.heartbeat(WORKER, { node_id: "n", revision: 1, routes })).toEqual({ id: WORKER });
    expect([beats, lines.length]).toEqual([[routes, null], 1]);
    tooLong = 500;
    expect(await client.heartbeat(WORKER, { node_id: "n", revision: 1, routes }).catch(String)).toContain(
      "answered 500",
    );
    expect(beats.length).toBe(3);
  });

  test("give a snapshot without revision or epoch, in our terms", async () => {
    answer = { circuits: [old({ route_info: [{ session_id: SESSION, kernel_port: 9 }], updated_at: null })] };
    expect<unknown>(await client.circuits(WORKER, "n1", null)).toEqual({
      circuits: [
        old({
          route_info: [route({ kernel_host: "localhost", kernel_port: 9 })],
          updated_at: "1970-01-01T00:00:00.000Z",
        }),
      ],
    });
    expect(lines).toEqual([]);
  });

  test("give the good circuits of a snapshot when there is a bad one, and the log names it", async () => {
    const good = [old({ user_id: USER }), old({ id: "c1c1c1c1-0000-4000-8000-000000000009", port: 10206 })];
    answer = { circuits: [good[0], old({ protocol: "pigeon" }), 5, good[1]], revision: 7, epoch: "e" };
    expect<unknown>(await client.circuits(WORKER, "n1", null)).toEqual({ circuits: good, revision: 7, epoch: "e" });
    expect(lines.map(({ circuit: id, reason, msg }) => ({ id, reason, msg }))).toEqual([
      { id: CIRCUIT, reason: expect.stringContaining("/protocol: "), msg: "a circuit can't be read; left out" },
      { id: null, reason: expect.any(String), msg: "a circuit can't be read; left out" },
    ]);
  });

  test.each([[{ circuits: null }], [{ something: "else" }], [[]], [{ circuits: [], revision: "7" }]])(
    "reject with an answer that is no snapshot: %j",
    async (strange) => {
      answer = strange;
      expect(await client.circuits(WORKER, "n1", null).catch(String)).toContain("answered something else");
    },
  );
});
