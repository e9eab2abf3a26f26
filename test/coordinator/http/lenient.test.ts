/**
 * Values as the original takes them, whose parser is Python's: UUIDs without hyphens in paths, queries and bodies, ports as
 * text. Seen of the coordinator 26.9.6: each of these is answered as with the usual spelling.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ownForms } from "../../../coordinator/http/lenient.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { USER } from "../../support/values.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

const bare = (uuid: string) => uuid.replaceAll("-", "");

test("an app is announced, opened, found and closed with ids without hyphens and a port as text", async () => {
  const { manager } = cluster;
  const session = crypto.randomUUID();
  const conf = await manager.call("POST", "/v2/conf", {
    kernel_host: "127.0.0.1",
    kernel_port: "8888",
    session: { id: bare(session), user_uuid: bare(USER), group_id: null, access_key: bare(USER), domain_name: "default" },
  });
  expect(conf.status).toBe(200);
  const token = bare(String(conf.body["token"]));
  const query = `token=${token}&session_id=${bare(session)}&app=jupyter&protocol=http`;
  const opened = await manager.call("GET", `/v2/proxy/auth?${query}`, undefined, { accept: "application/json" });
  expect(opened.status).toBe(200);
  const id = String(opened.body["circuit_id"]);
  const again = await manager.call("POST", "/v2/proxy/auth", { token, session_id: bare(session), app: "jupyter", protocol: "http" });
  expect([again.status, again.body["circuit_id"]]).toEqual([200, id]);
  const circuit = await manager.api("GET", `/api/circuit/${bare(id)}`);
  expect(circuit.body).toMatchObject({ id, user_id: USER, session_ids: [session], route_info: [{ kernel_port: 8888 }] });
  expect((await manager.api("GET", `/api/circuits?session_id=${bare(session)}`)).body["circuits"]).toHaveLength(1);
  const added = await manager.call("GET", `/v2/proxy/${token}/${bare(session)}/add?app=jupyter&protocol=http`);
  expect(added.status).toBe(200);
  expect((await manager.api("DELETE", "/api/circuit/_/bulk", { circuit_ids: [bare(id)] })).status).toBe(200);
  expect((await manager.api("GET", `/api/circuit/${id}`)).status).toBe(404);
}); // prettier-ignore

test("a model service is made, routed and removed with them", async () => {
  const { manager } = cluster;
  const [deployment, session, route] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
  const made = await manager.api("POST", "/v2/endpoints/bulk", {
    endpoints: [{ deployment_id: bare(deployment), service_name: "llama", tags: { session: { user_uuid: bare(USER) }, endpoint: { id: bare(deployment) } } }],
  });
  expect(made.body).toMatchObject({ endpoints: [{ deployment_id: deployment, success: true }] });
  const routes = [{ session_id: bare(session), route_id: bare(route), kernel_host: "127.0.0.1", kernel_port: "8000" }];
  const routed = await manager.api("POST", "/v2/endpoints/bulk/routes", { endpoints: [{ deployment_id: bare(deployment), routes }] });
  expect(routed.body).toMatchObject({ endpoints: [{ success: true }] });
  const [circuit] = (await manager.api("GET", "/api/circuits?app=llama")).body["circuits"] as { route_info: object[] }[];
  expect(circuit?.route_info).toMatchObject([{ session_id: session, route_id: route, kernel_port: 8000 }]);
  const gone = await manager.api("POST", "/v2/endpoints/bulk/routes/unregister", { endpoints: [{ deployment_id: bare(deployment), route_ids: [bare(route)] }] });
  expect(gone.body).toMatchObject({ endpoints: [{ unregistered_route_ids: [route] }] });
  expect((await manager.api("POST", `/v2/endpoints/${bare(deployment)}/token`, { user_uuid: bare(USER), exp: "2031-01-31" })).status).toBe(200);
  expect((await manager.api("DELETE", `/v2/endpoints/${bare(deployment)}`)).status).toBe(200);
}); // prettier-ignore

describe("what is no such value stays as it is:", () => {
  const UNTOUCHED = new Set(["envs"]);
  test.each([
    ["an access key of 32 hex digits", { access_key: bare(USER) }],
    ["an app's environment", { envs: { id: bare(USER), port: "80" } }],
    ["a port with letters", { kernel_port: "80x" }],
    ["a port with a sign or a fraction", { kernel_port: "+80", port: "8.5" }],
    ["an id that is too short", { id: bare(USER).slice(1) }],
    ["an id with other letters", { id: "z".repeat(32) }],
  ])("%s", (_what, value) => {
    expect<unknown>(ownForms(value, UNTOUCHED)).toEqual(value);
  });
});
