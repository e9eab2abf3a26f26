/** X-Method-Override: callers behind proxies that let only GET and POST pass reach every call, once they have proved who they are. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { SignJWT } from "jose";
import { createClient, type Client } from "../../../shared/client/client.ts";
import type { Operation } from "../../../shared/protocol/operations.ts";
import { startFakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator } from "../../support/lone-coordinator.ts";
import { API_SECRET, type Answer } from "../../support/manager.ts";
import { until } from "../../support/until.ts";
import { LIMITS } from "../calls/implied.ts";
import { startUsual, type Started } from "../calls/places.ts";
import { expectProblem } from "../calls/plan.ts";
import { calls, route, service, type Given, type Name, type Stage } from "../calls/stage.ts";
import { table } from "../calls/table.ts";
import { atEnd } from "../../support/at-end.ts";

let started: Started;
let stage: Stage;
beforeAll(async () => {
  started = await startUsual(40, LIMITS);
  ({ stage } = started);
});
afterEach(() => stage.clear());
afterAll(() => started.stop());

const SECRET = { "X-BackendAI-Token": API_SECRET };
const override = (method: string) => ({ ...SECRET, "X-Method-Override": method });

/** A POST of a path with these headers. */
const post = (path: string, headers: Record<string, string>, body?: unknown): Promise<Answer> =>
  stage.manager.call("POST", path, body, headers);
const health = async (id: string) => (await stage.circuitOf(id)).health_check?.path;

describe("a POST that means another call is that call:", () => {
  const others = table.filter(({ name }) => calls[name].method !== "POST" && name !== "readMetrics");
  let posting: Client<Record<Name, Operation>>;
  beforeAll(() => {
    const posted = Object.entries(calls).map(([name, call]) => [name, { ...call, method: "POST" }]);
    const all = Object.fromEntries(posted) as unknown as Record<Name, Operation>;
    posting = createClient(all, { baseUrl: stage.manager.baseUrl, secret: API_SECRET });
  });

  test.each(others.map((call) => ({ ...call, title: call.documented.name })))("$title", async ({ name, plan }) => {
    const input = await plan.good(stage);
    const call = posting[name] as (given: Given, headers: Record<string, string>) => Promise<unknown>;
    await plan.so(await call(input, { "X-Method-Override": calls[name].method }), input, stage);
  });

  test("GET /metrics, from an address that may read them", async () => {
    expect((await post("/metrics", override("GET"))).status).toBe(200);
  });
});

describe("the method's name", () => {
  test.each(["DELETE", "delete", "Delete", "  dELETE "])("may be written %j", async (method) => {
    const { id } = await stage.circuit();
    expect(await post(`/api/circuit/${id}`, override(method))).toMatchObject({ status: 200, body: { success: true } });
    expect((await stage.state()).circuits).toEqual([]);
  });

  test.each(["POST", "post"])("may be that of what it is: %s", async (method) => {
    const id = crypto.randomUUID();
    expect((await post(`/v2/endpoints/${id}`, override(method), service(id))).status).toBe(200);
  });

  test.each(["BREW", "OPTIONS", "HEAD", "CONNECT", "PURGE", "DEL", "GET, DELETE", "DELETE DELETE", "X".repeat(5000)])(
    "that is unknown is 400, which names the header and what it may be: %.20s",
    async (method) => {
      const { id } = await stage.circuit();
      const answer = await post(`/api/circuit/${id}`, override(method));
      const shown = `"${method.slice(0, 40)}"`;
      expectProblem(
        answer,
        "generic-bad-request",
        `X-Method-Override: wanted one of GET, PUT, PATCH, DELETE, got ${shown}`,
      );
      expect((await stage.state()).circuits.map((one) => one.id)).toEqual([id]);
    },
  );
});

describe("without the secret", () => {
  const strangers: [string, Record<string, string>][] = [
    ["nothing", {}],
    ["another secret", { "X-BackendAI-Token": "another-secret-0123456789" }],
    ["the secret in a JWT's place", { Authorization: `Bearer ${API_SECRET}` }],
  ];

  test.each(strangers)("it is 401 and nothing is done: %s", async (_what, headers) => {
    const { id } = await stage.circuit();
    const { endpoint_id } = await stage.endpoint();
    const before = await stage.state();
    const meant: [string, string, unknown][] = [
      ["DELETE", `/api/circuit/${id}`, undefined],
      ["DELETE", "/api/circuit/_/bulk", { circuit_ids: [id] }],
      ["PUT", `/v2/endpoints/${endpoint_id}/health-check`, { health_check: null }],
      ["GET", `/api/circuit/${id}`, undefined],
      ["BREW", "/nothing", "{"],
    ];
    for (const [method, path, body] of meant) {
      const answer = await post(path, { ...headers, "X-Method-Override": method }, body);
      expectProblem(answer, "auth-failed", /wanted X-BackendAI-Token|is not the api_secret|JWT is not valid/);
    }
    expect(await stage.state()).toEqual(before);
  });

  test("it is 401 where everybody may come, too: the header is for those who hold the secret", async () => {
    const wish = { ...(await stage.token()), app: "jupyter", protocol: "http" };
    const query = new URLSearchParams(wish).toString();
    expect((await post("/v2/proxy/auth", {}, wish)).status).toBe(200);
    expect((await post(`/v2/proxy/auth?${query}`, { "X-Method-Override": "GET" })).status).toBe(401);
    expect((await post("/status", { "X-Method-Override": "GET" })).status).toBe(401);
    expect((await post("/status", override("GET"))).status).toBe(200);
  });

  test("a JWT that is signed with it and expires is as good", async () => {
    const jwt = new SignJWT({}).setProtectedHeader({ alg: "HS256" }).setExpirationTime("1m");
    const bearer = { Authorization: `Bearer ${await jwt.sign(new TextEncoder().encode(API_SECRET))}` };
    const { id } = await stage.circuit();
    const answer = await post(`/api/circuit/${id}`, { ...bearer, "X-Method-Override": "DELETE" });
    expect(answer.status).toBe(200);
    const other = await stage.circuit();
    const endless = await new SignJWT({})
      .setProtectedHeader({ alg: "HS256" })
      .sign(new TextEncoder().encode(API_SECRET));
    const refused = { Authorization: `Bearer ${endless}`, "X-Method-Override": "DELETE" };
    expect((await post(`/api/circuit/${other.id}`, refused)).status).toBe(401);
  });
});

test.each(["GET", "PUT", "PATCH", "DELETE"])("a %s is what it is, whatever the header says", async (method) => {
  const { endpoint_id: id, circuit } = await stage.endpoint();
  const send = (path: string, body?: unknown) => stage.manager.call(method, path, body, override("DELETE"));
  if (method === "GET") expect((await send(`/api/circuit/${circuit.id}`)).body["id"]).toBe(circuit.id);
  if (method === "PUT") {
    expect((await send(`/v2/endpoints/${id}/health-check`, { health_check: { path: "/put" } })).status).toBe(200);
    expect(await health(id)).toBe("/put");
  }
  if (method === "PATCH") expect((await send(`/api/worker/${circuit.worker}`)).body["status"]).toBe("ALIVE");
  if (method === "DELETE") {
    const answer = await stage.manager.call(method, `/api/circuit/${circuit.id}`, undefined, override("GET"));
    expect(answer.body).toEqual({ success: true });
  }
});

describe("what comes with it is as it was:", () => {
  test("a body, of known length and in chunks", async () => {
    const { endpoint_id: id } = await stage.endpoint();
    const path = `/v2/endpoints/${id}/health-check`;
    await post(path, override("PUT"), { "health-check": { path: "/known" } });
    expect(await health(id)).toBe("/known");
    const chunks = new Blob([JSON.stringify({ health_check: { path: "/chunks" } })]).stream();
    await fetch(stage.manager.baseUrl + path, { method: "POST", headers: override("PUT"), body: chunks });
    expect(await health(id)).toBe("/chunks");
  });

  test("a body's limits and its faults", async () => {
    const { endpoint_id: id } = await stage.endpoint();
    const put = (body: string) => post(`/v2/endpoints/${id}/health-check`, override("PUT"), body);
    const { max_bulk_body_bytes: most } = LIMITS;
    expectProblem(await put("x".repeat(most + 1)), "payload-too-large", `body: wanted at most ${most} bytes, got ${most + 1} bytes`); // prettier-ignore
    expectProblem(await put("{"), "invalid-api-params", "body: wanted JSON, got something else");
    expectProblem(await put(""), "invalid-api-params", "body: wanted an object, got nothing");
    expect(await health(id)).toBe("/health");
  });

  test("a query, and a body that GET has no use for", async () => {
    await stage.circuit();
    const listed = (query: string, body?: unknown) => post(`/api/slots?${query}`, override("GET"), body);
    expect((await listed("in_use=maybe")).status).toBe(400);
    expect((await listed("wsproxy_host=worker-1", "{")).body["slots"]).toHaveLength(1);
  });

  test("a path that is not there, and one that has not that method", async () => {
    expect((await post("/nothing", override("DELETE"))).status).toBe(404);
    expect((await post("/v2/conf", override("DELETE"))).status).toBe(405);
    expect((await post("/api/circuits", override("PATCH"))).status).toBe(405);
  });

  test("the request id of whoever asks", async () => {
    const lone = await startLoneCoordinator({});
    atEnd(() => lone.stop());
    const worker = await startFakeWorker(lone.manager, lone.redis.port, { authority: "w" });
    atEnd(() => worker.stop());
    const { token, sessionId } = await lone.manager.conf({ kernel_port: 1 });
    const { body } = await lone.manager.auth(token, sessionId);
    const headers = { ...override("DELETE"), "X-Backend-Request-ID": "who-deleted-it" };
    await lone.manager.call("POST", `/api/circuit/${String(body["circuit_id"])}`, undefined, headers);
    const removed = await until(() => worker.events.find(({ name }) => name === "appproxy_circuit_removed_event"));
    expect(removed.requestId).toBe("who-deleted-it");
  });
});

test("64 callers at once, each meaning something else, get what they mean", async () => {
  const { endpoint_id: id, circuit } = await stage.endpoint();
  const routes = { endpoints: [{ deployment_id: id, routes: [route()] }] };
  const meant: [string, string, unknown, string][] = [
    ["GET", `/api/circuit/${circuit.id}`, undefined, "id"],
    ["PUT", `/v2/endpoints/${id}/health-check`, { health_check: {} }, "success"],
    ["PATCH", `/api/worker/${circuit.worker}`, undefined, "authority"],
    ["DELETE", "/api/circuit/_/bulk", { circuit_ids: [crypto.randomUUID()] }, "success"],
    ["POST", "/v2/endpoints/bulk/routes", routes, "endpoints"],
  ];
  const asked = Array.from({ length: 64 }, (_, at) => meant[at % meant.length] ?? meant[0]).filter((one) => one !== undefined); // prettier-ignore
  const answers = await Promise.all(asked.map(([method, path, body]) => post(path, override(method), body)));
  expect(answers.map(({ status, body }, at) => [status, Object.hasOwn(body, asked[at]?.[3] ?? "")])).toEqual(
    answers.map(() => [200, true]),
  );
});
