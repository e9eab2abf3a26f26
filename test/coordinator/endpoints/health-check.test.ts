/** How kernels of a model service are probed: `PUT /v2/endpoints/{id}/health-check`, and `health_check` of the other calls. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import type { HealthCheckSpec } from "../../../shared/protocol/schema/health-check.ts";
import { refusal, service, startStage, type Stage } from "../../support/model-service.ts";
import { until } from "../../support/until.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";
const DEFAULTS = {
  interval: 10,
  path: "/health",
  max_retries: 10,
  max_wait_time: 15,
  expected_status_code: 200,
  initial_delay: 60,
};

let stage: Stage;
let worker: string;

async function start(): Promise<void> {
  stage = await startStage();
  worker = (await stage.worker({ authority: "w" })).id;
  await stage.client.syncEndpoint({ endpoint_id: ID, body: service() });
}

const put = (health_check: HealthCheckSpec | null, headers: Record<string, string> = {}) =>
  stage.client.setHealthCheck({ endpoint_id: ID, body: { health_check } }, headers);

const checkOf = async () => (await stage.circuitOf(ID))?.health_check;
const revision = async () => (await stage.client.getWorker({ worker_id: worker })).revision;

describe("a health check", () => {
  beforeEach(start);
  afterEach(() => stage.stop());

  test.each<[string, HealthCheckSpec, object]>([
    ["nothing", {}, {}],
    ["only that there is one", { enable: true }, {}],
    ["null for everything", { enable: null, interval: null, path: null, max_retries: null, max_wait_time: null, expected_status_code: null, initial_delay: null }, {}],
    ["a part", { path: "/v1/models", interval: 2.5, max_retries: 0 }, { path: "/v1/models", interval: 2.5, max_retries: 0 }],
    ["a path without a slash", { path: "ready?x=1" }, { path: "/ready?x=1" }],
    ["a path that would be another host", { path: "//evil.example/x" }, { path: "/evil.example/x" }],
    ["everything", { enable: true, interval: 1, path: "/up", max_retries: 1, max_wait_time: 2, expected_status_code: 204, initial_delay: 0 }, { interval: 1, path: "/up", max_retries: 1, max_wait_time: 2, expected_status_code: 204, initial_delay: 0 }],
  ])("of which is said %s has the defaults for the rest", async (_what, wish, said) => {
    expect(await put(wish)).toEqual({ success: true });
    expect(await checkOf()).toEqual({ ...DEFAULTS, ...said });
  }); // prettier-ignore

  // One endpoint's odd value must not fail a call for a thousand, as the original's Manager makes it.
  test.each<[HealthCheckSpec, object]>([
    [{ interval: 0 }, { interval: 1 }],
    [{ interval: -5 }, { interval: 1 }],
    [{ interval: 1e9 }, { interval: 86_400 }],
    [{ max_retries: -1 }, { max_retries: 0 }],
    [{ max_retries: 1e6 }, { max_retries: 1000 }],
    [{ max_wait_time: 601 }, { max_wait_time: 60 }],
    [{ max_wait_time: 0 }, { max_wait_time: 15 }],
    [{ max_wait_time: -1 }, { max_wait_time: 15 }],
    [{ max_wait_time: 0.001 }, { max_wait_time: 0.05 }],
    [{ expected_status_code: 99 }, { expected_status_code: 200 }],
    [{ expected_status_code: 1e300 }, { expected_status_code: 200 }],
    [{ initial_delay: -1 }, { initial_delay: 0 }],
    [{ initial_delay: 1e9 }, { initial_delay: 86_400 }],
    [{ path: "/a b" }, { path: "/a%20b" }],
    [{ path: "/x\r\nX-Evil: 1" }, { path: "/x%0D%0AX-Evil:%201" }],
    [{ path: "/\u00e9?\ud800" }, { path: "/%C3%A9?%EF%BF%BD" }],
    [{ path: "" }, { path: "/" }],
  ])("of %j is brought into its range", async (wish, said) => {
    await put(wish);
    expect(await checkOf()).toEqual({ ...DEFAULTS, ...said });
  });

  test.each<[string, HealthCheckSpec | null]>([
    ["null", null],
    ["one that is not enabled", { enable: false, path: "/up" }],
  ])("is ended by %s", async (_what, wish) => {
    await put({ path: "/up" });
    expect(await put(wish)).toEqual({ success: true });
    expect(await stage.circuitOf(ID)).not.toHaveProperty("health_check");
    const again = await stage.client.syncEndpoint({ endpoint_id: ID, body: service({ health_check: wish }) });
    expect([again.health_check_enabled, await revision()]).toEqual([false, 3]);
  });

  test("is told to the worker with the request that set it, and the circuit keeps its first request id", async () => {
    await put({ path: "/up" }, { "X-Backend-Request-ID": "req-check" });
    const circuit = await stage.circuitOf(ID);
    await until(() => stage.told.length >= 2);
    const [event] = stage.told.slice(1);
    expect(event).toMatchObject({
      name: "appproxy_circuit_route_updated_event",
      requestId: "req-check",
      payload: { target_worker_authority: "w", revision: 2, routes: [] },
    });
    expect(event !== undefined && "circuit" in event.payload ? event.payload.circuit : null).toEqual(circuit ?? null);
    expect(circuit).toMatchObject({ health_check: { ...DEFAULTS, path: "/up" }, origin_request_id: null });
  });

  test("that is the same makes no revision and tells nobody", async () => {
    await put({ path: "/up", interval: 10 });
    await put({ enable: true, path: "up" });
    await stage.client.syncEndpoint({ endpoint_id: ID, body: service({ health_check: { path: "/up" } }) });
    expect(await revision()).toBe(2);
    await put(null);
    await put(null);
    await until(() => stage.told.length >= 3);
    expect(stage.told.map(({ payload: { revision } }) => revision)).toEqual([1, 2, 3]);
  });

  test("that is recorded is answered as such, also when it can't be found out whether its worker has applied it", async () => {
    {
      using sqlite = new Database(stage.database);
      // Within the same commit, after which nothing can be read of the worker.
      sqlite.run(
        "CREATE TRIGGER spoils AFTER UPDATE OF health_check ON circuits BEGIN UPDATE workers SET accepted_traffics = '{'; END",
      );
    }
    expect(await put({ path: "/up" })).toEqual({ success: true });
    expect(await checkOf()).toEqual({ ...DEFAULTS, path: "/up" });
    expect(stage.lines.filter(({ msg }) => String(msg).startsWith("cannot find out whether workers"))).toHaveLength(1);
  });

  test("leaves the routes and the publicity as they are", async () => {
    await stage.client.syncEndpoint({ endpoint_id: ID, body: service({ open_to_public: true }, { runtime_variant: "vllm" }) }); // prettier-ignore
    await put({});
    expect(await stage.circuitOf(ID)).toMatchObject({ open_to_public: true, runtime_variant: "vllm", route_info: [] });
  });

  test("is for an endpoint that there is", async () => {
    const call = stage.client.setHealthCheck({ endpoint_id: crypto.randomUUID(), body: { health_check: {} } });
    expect((await refusal(call)).slice(0, 2)).toEqual([404, "object-not-found"]);
  });

  test("that is not there at all is 400", async () => {
    const { status, body } = await stage.manager.api("PUT", `/v2/endpoints/${ID}/health-check`, {});
    expect([status, body["msg"]]).toEqual([400, "health_check: wanted an object or null, got nothing"]);
  });
});

describe("a bad value", () => {
  beforeAll(start);
  afterAll(() => stage.stop());

  const values: [field: string, value: unknown][] = [
    ["interval", "10"],
    ["path", 1],
    ["path", `/${"x".repeat(2048)}`],
    ["max_retries", 1.5],
    ["max_wait_time", [15]],
    ["expected_status_code", "200"],
    ["initial_delay", true],
    ["enable", "yes"],
  ];

  test.each(values)("of %s (%j) is refused by all calls, and nothing is changed", async (field, value) => {
    const health_check = { [field]: value };
    const bulk = await stage.manager.api("POST", "/v2/endpoints/bulk", { endpoints: [{ deployment_id: ID, ...service(), health_check }] }); // prettier-ignore
    expect(bulk.body["endpoints"]).toMatchObject([
      { deployment_id: ID, url: expect.stringContaining("http://"), success: false },
    ]);
    for (const [method, path] of [
      ["PUT", "/health-check"],
      ["POST", ""],
    ] as const) {
      // prettier-ignore
      const body = { ...service(), health_check };
      expect((await stage.manager.api(method, `/v2/endpoints/${ID}${path}`, body)).status).toBe(400);
    }
    expect([await checkOf(), await revision()]).toEqual([undefined, 1]);
  });

  test.each(values)("of %s (%j) is named with its field", async (field, value) => {
    const body = { ...service(), health_check: { [field]: value } };
    const put = await stage.manager.api("PUT", `/v2/endpoints/${ID}/health-check`, body);
    const post = await stage.manager.api("POST", `/v2/endpoints/${ID}`, body);
    const bulk = await stage.manager.api("POST", "/v2/endpoints/bulk", { endpoints: [{ deployment_id: ID, ...body }] });
    const [entry] = bulk.body["endpoints"] as Record<string, unknown>[];
    for (const said of [put.body["msg"], post.body["msg"], entry?.["error"]])
      expect(said).toStartWith(`health_check.${field}: wanted `);
  });
});
