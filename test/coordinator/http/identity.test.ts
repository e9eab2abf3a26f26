/** Whose call it was: the platform's request id and the caller's address, in the log and in the events of all that it did. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newKernel } from "../../support/manager.ts";
import { routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { message, startPlatform } from "../../support/platform.ts";
import { until } from "../../support/until.ts";

const ENDPOINT = "0e000000-0000-4000-8000-00000000000a";

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
  await stage.worker({ authority: "w" });
});
afterAll(() => stage.stop());

const as = (id: string) => ({ "X-Backend-Request-ID": id });
/** What the log has of a request. */
const linesOf = (id: string) => stage.lines.filter(({ request_id }) => request_id === id);
const msgs = (id: string) => linesOf(id).map(({ msg }) => msg);
const eventsOf = (id: string) => stage.told.filter(({ requestId }) => requestId === id).map(({ name }) => name);

test("an app that is opened, opened again and closed: each time by another request", async () => {
  const { token, sessionId } = await stage.manager.conf(newKernel(), as("req-conf"));
  const opened = await stage.manager.auth(token, sessionId, {}, as("req-open"));
  const circuit = String(opened.body["circuit_id"]);
  await stage.manager.auth(token, sessionId, {}, as("req-again"));
  await stage.manager.api("DELETE", `/api/circuit/${circuit}`, undefined, as("req-delete"));
  expect([msgs("req-open"), msgs("req-again"), msgs("req-delete")]).toEqual([
    ["circuit created"],
    ["circuit reused"],
    ["circuit deleted"],
  ]);
  const line = {
    circuit,
    worker: "w",
    app: "jupyter",
    user: expect.any(String) as string,
    session: sessionId,
    kernel: expect.stringMatching(/:\d+$/) as string,
    origin_request_id: "req-open",
    peer: "127.0.0.1",
  };
  for (const id of ["req-open", "req-again", "req-delete"])
    expect(linesOf(id)).toEqual([expect.objectContaining(line)]);
  await until(() => eventsOf("req-delete").length > 0);
  expect([eventsOf("req-open"), eventsOf("req-again"), eventsOf("req-delete")]).toEqual([
    ["appproxy_circuit_created_event"],
    [],
    ["appproxy_circuit_removed_event"],
  ]);
});

test("an app whose opening names no request has that of the token, and one whose session ends that of the platform", async () => {
  const { token, sessionId } = await stage.manager.conf(newKernel(), as("req-token"));
  await stage.manager.auth(token, sessionId);
  expect(msgs("req-token")).toEqual(["circuit created"]);
  const platform = startPlatform(stage.redis.port);
  const over = JSON.parse(message("session_terminated", { session_id: sessionId })) as Record<string, unknown>;
  await platform.say(JSON.stringify({ ...over, metadata: JSON.stringify({ request_id: "req-over" }) }));
  platform.stop();
  await until(() => eventsOf("req-over").length > 0);
  expect(linesOf("req-over")).toMatchObject([{ msg: "circuit closed: the session is over", session: sessionId }]);
  expect(linesOf("req-over")[0]).not.toHaveProperty("peer");
});

test("a model service that is made, changed, given routes and removed", async () => {
  const call = (id: string, method: string, path: string, body?: unknown) =>
    stage.manager.api(method, `/v2/endpoints/${path}`, body, as(id));
  await call("req-make", "POST", ENDPOINT, service());
  await call("req-change", "POST", ENDPOINT, service({ open_to_public: true }));
  await call("req-health", "PUT", `${ENDPOINT}/health-check`, { health_check: { path: "/" } });
  const routes = { endpoints: [{ deployment_id: ENDPOINT, routes: [routeTo(1)] }] };
  await call("req-routes", "POST", "bulk/routes", routes);
  await call("req-remove", "DELETE", ENDPOINT);
  const ids = ["req-make", "req-change", "req-health", "req-routes", "req-remove"];
  expect(ids.map(msgs)).toEqual([
    ["endpoint created"],
    ["endpoint changed"],
    ["endpoint changed"],
    ["routes changed"],
    ["endpoint removed"],
  ]);
  for (const line of ids.flatMap(linesOf))
    expect(line).toMatchObject({ endpoint: ENDPOINT, worker: "w", origin_request_id: "req-make", peer: "127.0.0.1" });
});

test.each([
  ["without a secret", "POST", "/v2/endpoints/bulk", 401],
  ["where nothing is", "GET", "/nothing", 404],
  ["with a body that is wrong", "POST", "/v2/conf", 400],
  ["with another method", "PATCH", "/v2/conf", 405],
])("a call that is refused: %s", async (what, method, path, status) => {
  const id = `req-${what.replaceAll(" ", "-")}`;
  const answer = await stage.manager.call(method, path, method === "GET" ? undefined : {}, as(id));
  expect(answer.status).toBe(status);
  // One of the same kind within a second is told after it.
  await until(() => linesOf(id).length > 0);
  expect(linesOf(id)).toMatchObject([{ status, peer: "127.0.0.1" }]);
});

test("an id that may not be kept is not in the line of a refusal", async () => {
  const url = `/api/circuit/${ENDPOINT}`;
  await stage.manager.api("GET", url, undefined, as("a b"));
  const line = await until(() => stage.lines.find((one) => one["url"] === url && one["status"] === 404));
  expect(line).not.toHaveProperty("request_id");
});
