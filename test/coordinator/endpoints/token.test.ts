/** `POST /v2/endpoints/{id}/token`: what clients of a model service send as `Authorization: Bearer`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { decodeJwt, jwtVerify } from "jose";
import { createClient } from "../../../shared/client/client.ts";
import { operations } from "../../../shared/protocol/operations.ts";
import { workerJwtSecret } from "../../../shared/protocol/worker-secret.ts";
import { secretId } from "../../../shared/runtime/secrets.ts";
import { startApp } from "../../support/app.ts";
import { startCluster } from "../../support/cluster.ts";
import { API_SECRET, JWT_SECRET } from "../../support/manager.ts";
import { OWNER, refusal, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";
const USER = "0a000000-0000-4000-8000-00000000000a";
const DAY = 24 * 3600;
const TEN_YEARS = 3653 * 24 * 3600;
const YEAR = 365 * DAY;

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
  await stage.worker({ authority: "w" });
  const body = service({ health_check: {} }, { runtime_variant: "vllm" });
  await stage.client.syncEndpoint({ endpoint_id: ID, body }, { "X-Backend-Request-ID": "req-1" });
  await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ID, routes: [routeTo(1), routeTo(2)] }] } });
});

afterAll(() => stage.stop());

async function claimsOf(exp: number | string, user_uuid = USER) {
  const { token } = await stage.client.mintToken({ endpoint_id: ID, body: { user_uuid, exp } });
  return jwtVerify(token, new TextEncoder().encode(JWT_SECRET), { algorithms: ["HS256"] });
}

const now = () => Date.now() / 1000;
/** A whole minute, a day from now. Epoch seconds. */
const AT = Math.floor(now() / 60) * 60 + DAY;
/** `AT` as a clock shows it that is ahead of UTC by some hours, without seconds' fractions or zone. */
const clock = (ahead = 0, at = AT) => new Date((at + ahead * 3600) * 1000).toISOString().slice(0, 19);

describe("a token", () => {
  test("says what the original's says: the circuit without its routes, its URL, who it is for and until when", async () => {
    const { payload, protectedHeader } = await claimsOf(AT, USER.toUpperCase());
    const circuit = await stage.circuitOf(ID);
    const { route_info: routes, revision, origin_request_id: origin, health_check: check, ...fields } = circuit ?? {};
    expect([routes?.length, revision, origin, check?.path]).toEqual([2, 2, "req-1", "/health"]);
    expect(protectedHeader).toEqual({ alg: "HS256", typ: "JWT" });
    expect(payload).toEqual({ ...fields, config: {}, app_url: "http://worker.example:30000/", user: USER, exp: AT });
    expect(payload).toMatchObject({
      endpoint_id: ID,
      user_id: OWNER,
      app_mode: "inference",
      runtime_variant: "vllm",
      session_ids: [routeTo(1).session_id, routeTo(2).session_id],
    });
  });

  test("says nothing of who had its port before", async () => {
    const endpoint_id = crypto.randomUUID();
    const port_range = [30_100, 30_100];
    await stage.worker({ authority: "narrow", port_range, filtered_apps_only: true, app_filters: [{ key: "session.domain_name", value: "narrow" }] }); // prettier-ignore
    const of = (user_uuid: string) => service({}, {}, { user_uuid, domain_name: "narrow" });
    await stage.client.syncEndpoint({ endpoint_id, body: of(OWNER) });
    await stage.client.deleteEndpoint({ endpoint_id });
    await stage.client.syncEndpoint({ endpoint_id, body: of(USER) });
    expect(await stage.circuitOf(endpoint_id)).toHaveProperty("recycled_at");
    const { token } = await stage.client.mintToken({ endpoint_id, body: { user_uuid: USER, exp: AT } });
    expect(decodeJwt(token)).not.toHaveProperty("recycled_at");
  });

  test("is for an endpoint that there is", async () => {
    const nowhere = { endpoint_id: crypto.randomUUID(), body: { user_uuid: USER, exp: AT } };
    expect((await refusal(stage.client.mintToken(nowhere))).slice(0, 2)).toEqual([404, "object-not-found"]);
  });

  test("is for somebody", async () => {
    const { status, body } = await stage.manager.api("POST", `/v2/endpoints/${ID}/token`, { exp: AT });
    expect([status, body["msg"]]).toEqual([400, "user_uuid: wanted a UUID, got nothing"]);
  });
});

describe("its end", () => {
  test.each([
    ["UTC", `${clock()}Z`],
    ["UTC with a fraction", `${clock()}.123Z`],
    ["UTC as Python writes it", `${clock()}.123456+00:00`],
    ["UTC without seconds", `${clock().slice(0, 16)}Z`],
    ["an offset", `${clock(9)}+09:00`],
    ["an offset without a colon", `${clock(9)}+0900`],
    ["an offset to the west", `${clock(-5)}-05:00`],
    ["no zone, which is UTC", clock()],
    ["no zone and a fraction", `${clock()}.123456`],
    ["a space", clock().replace("T", " ")],
    ["a space and an offset", `${clock(9).replace("T", " ")}+09:00`],
    ["spaces around it", ` ${clock()}Z `],
    ["epoch seconds", AT],
    ["epoch seconds with a fraction", AT + 0.9],
    ["epoch milliseconds", AT * 1000],
    ["epoch seconds as text", String(AT)],
    ["epoch seconds with a fraction as text", `${AT}.9`],
    ["epoch milliseconds as text", String(AT * 1000)],
  ])("may be written as %s", async (_what, exp) => {
    expect((await claimsOf(exp)).payload.exp).toBe(AT);
  });

  test.each([
    ["a date", `${clock(0, AT + 11 * YEAR)}Z`],
    ["seconds", AT + 11 * YEAR],
    ["the end of time", 1e300],
  ])("is at most ten years from now, whatever is asked for: %s", async (_what, exp) => {
    const before = Math.floor(now() + TEN_YEARS);
    const { exp: given = 0 } = (await claimsOf(exp)).payload;
    expect([given >= before, given <= now() + TEN_YEARS]).toEqual([true, true]);
  });

  test("is as asked for within that: clients keep their token in a configuration", async () => {
    expect((await claimsOf(AT + 9 * YEAR)).payload.exp).toBe(AT + 9 * YEAR);
  });

  // The original 26.9.6 answers "2027-01-31" with a token whose `exp` is that day's midnight, UTC.
  test("may be a date alone, which is its first moment", async () => {
    expect((await claimsOf("2031-01-31")).payload.exp).toBe(Date.parse("2031-01-31T00:00:00Z") / 1000);
  });

  test.each([
    ["over", `${clock(0, AT - 2 * DAY)}Z`, "wanted a time to come"],
    ["over in seconds", AT - 2 * DAY, "wanted a time to come"],
    ["over since the beginning", 0, "wanted a time to come"],
    ["before the beginning", -1, "wanted a time to come"],
    ["no number", "NaN", "wanted an ISO 8601 time or epoch seconds"],
    ["endless", "Infinity", "wanted an ISO 8601 time or epoch seconds"],
    ["a word", "tomorrow", "wanted an ISO 8601 time or epoch seconds"],
    ["empty", "", "wanted an ISO 8601 time or epoch seconds"],
    ["a month that there is not", "2099-13-01T00:00:00Z", "wanted an ISO 8601 time or epoch seconds"],
  ])("that is %s is 400 and names the field", async (_what, exp, wanted) => {
    expect(await refusal(claimsOf(exp))).toEqual([400, "invalid-api-params", `exp: ${wanted}, got ${JSON.stringify(exp)}`]); // prettier-ignore
  });

  test.each([
    ["nothing", undefined],
    ["null", null],
    ["true", true],
    ["a list of 1", [AT]],
  ])("that is %s is 400 and names the field", async (got, exp) => {
    const { status, body } = await stage.manager.api("POST", `/v2/endpoints/${ID}/token`, { user_uuid: USER, exp });
    expect([status, body["msg"]]).toEqual([400, `exp: wanted a number or text of length at most 64, got ${got}`]);
  });

  test("that is on a day that there is not is 400", async () => {
    const exp = `${new Date().getUTCFullYear() + 1}-02-30T00:00:00Z`;
    expect((await refusal(claimsOf(exp)))[0]).toBe(400);
  });
});

test("is signed as its worker knows it also while none of the worker's nodes is there", async () => {
  const own = workerJwtSecret(JWT_SECRET, "away");
  const filters = { filtered_apps_only: true, app_filters: [{ key: "session.domain_name", value: "away" }] };
  const worker = await stage.worker({ authority: "away", port_range: [30_200, 30_209], jwt_keys: [secretId(own)], ...filters }); // prettier-ignore
  const endpoint_id = crypto.randomUUID();
  await stage.client.syncEndpoint({ endpoint_id, body: service({}, {}, { domain_name: "away" }) });
  await stage.client.deregisterWorker({ worker_id: worker.id, query: { node_id: "n1" } });
  const { token } = await stage.client.mintToken({ endpoint_id, body: { user_uuid: USER, exp: AT } });
  expect((await jwtVerify(token, new TextEncoder().encode(own))).payload["user"]).toBe(USER);
});

test("that would be too long for a worker says less", async () => {
  const endpoint_id = crypto.randomUUID();
  const domain = `.${"d".repeat(60)}.${"e".repeat(60)}.${"f".repeat(60)}.apps.example`;
  await stage.worker({ authority: "wild", frontend_mode: "wildcard", wildcard_domain: domain, port_range: null });
  const body = service({ service_name: "라".repeat(255) }, { runtime_variant: "마".repeat(255) });
  const { endpoint: app_url } = await stage.client.syncEndpoint({ endpoint_id, body });
  const routes = Array.from({ length: 50 }, (_, at) => routeTo(at));
  const claims = async () =>
    decodeJwt((await stage.client.mintToken({ endpoint_id, body: { user_uuid: USER, exp: AT } })).token);
  expect(await claims()).toMatchObject({ app: body.service_name, session_ids: [], app_url });
  await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: endpoint_id, routes }] } });
  expect(await claims()).toMatchObject({ app: "", runtime_variant: null, session_ids: [], endpoint_id, app_url, user: USER }); // prettier-ignore
});

test("with the longest names and 200 sessions it is short enough for a worker, which takes it for this service only", async () => {
  const [cluster, app] = [await startCluster(), startApp()];
  stage.defer(() => Promise.all([cluster.stop(), app.stop()]));
  const client = createClient(operations, { baseUrl: cluster.coordinator.baseUrl, secret: API_SECRET });
  const other = crypto.randomUUID();
  const body = service({ service_name: "라".repeat(255) }, { runtime_variant: "마".repeat(255) });
  const { endpoint: url } = await client.syncEndpoint({ endpoint_id: ID, body });
  await client.syncEndpoint({ endpoint_id: other, body: service() });
  const routes = Array.from({ length: 200 }, (_, at) => routeTo(at, { traffic_ratio: 0 }));
  routes.push(routeTo(200, { kernel_host: "127.0.0.1", kernel_port: app.port }));
  await client.replaceRoutes({ body: { endpoints: [{ deployment_id: ID, routes }] } });
  const tokenFor = async (endpoint_id: string) =>
    (await client.mintToken({ endpoint_id, body: { user_uuid: USER, exp: AT } })).token;
  const statusFor = async (authorization: string) => (await fetch(url, { headers: { authorization } })).status;
  const token = await tokenFor(ID);
  expect(token.length).toBeLessThanOrEqual(4096);
  expect(await statusFor(`Bearer ${token}`)).toBe(200);
  expect(await statusFor(`BackendAI ${token}`)).toBe(200);
  expect(await statusFor(`Bearer ${await tokenFor(other)}`)).toBe(401);
});
