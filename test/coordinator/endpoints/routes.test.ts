/** `POST /v2/endpoints/bulk/routes`, `…/register` and `…/unregister`: where the requests of model services go. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { RouteEntry } from "../../../shared/protocol/schema/endpoint.ts";
import { newIds, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { until } from "../../support/until.ts";

const A = "0e000000-0000-4000-8000-00000000000a";
const B = "0e000000-0000-4000-8000-00000000000b";
const UNKNOWN = "0e000000-0000-4000-8000-00000000000c";
const NONE_YET = "No circuit registered for this endpoint yet.";

let stage: Stage;
let worker: string;

beforeEach(async () => {
  stage = await startStage();
  worker = (await stage.worker({ authority: "w" })).id;
  for (const endpoint_id of [A, B]) await stage.client.syncEndpoint({ endpoint_id, body: service() });
});

afterEach(() => stage.stop());

type Tables = [id: string, routes: RouteEntry[]][];
type Headers = Record<string, string>;

const withRoutes = (tables: Tables) => ({ endpoints: tables.map(([deployment_id, routes]) => ({ deployment_id, routes })) }); // prettier-ignore

const replace = async (tables: Tables, headers: Headers = {}) =>
  (await stage.client.replaceRoutes({ body: withRoutes(tables) }, headers)).endpoints;

const register = async (tables: Tables, headers: Headers = {}) =>
  (await stage.client.registerRoutes({ body: withRoutes(tables) }, headers)).endpoints;

async function unregister(given: [id: string, route_ids: string[]][], headers: Headers = {}) {
  const endpoints = given.map(([deployment_id, route_ids]) => ({ deployment_id, route_ids }));
  return (await stage.client.unregisterRoutes({ body: { endpoints } }, headers)).endpoints;
}

const routesOf = async (id: string) => (await stage.circuitOf(id))?.route_info;
const idsOf = async (id: string) => (await routesOf(id))?.map(({ route_id: route }) => route);
const revision = async () => (await stage.client.getWorker({ worker_id: worker })).revision;
const leadsTo = async (at: number) =>
  (await stage.client.listCircuits({ query: { session_id: routeTo(at).session_id } })).circuits.map(
    ({ endpoint_id: id }) => id,
  );

const done = (id: string) => ({ deployment_id: id, success: true, error: null });
const failed = (id: string, error: string) => ({ deployment_id: id, success: false, error });
const id = (at: number) => routeTo(at).route_id;

const FULL = { session_name: null, protocol: "http", traffic_ratio: 1 } as const;

describe("replacing", () => {
  test("answers in order, fails unknown endpoints and does the others", async () => {
    const answers = await replace([[UNKNOWN, [routeTo(1)]], [B, [routeTo(2)]], [A, [routeTo(3), routeTo(4)]]]); // prettier-ignore
    expect(answers).toEqual([failed(UNKNOWN, NONE_YET), done(B), done(A)]);
    expect(await routesOf(B)).toEqual([{ ...routeTo(2), ...FULL }]);
    expect(await routesOf(A)).toEqual([{ ...routeTo(3), ...FULL }, { ...routeTo(4), ...FULL }]); // prettier-ignore
    expect(await stage.circuitOf(UNKNOWN)).toBeUndefined();
  });

  test("tells the worker with the whole circuit, its routes and the request that did it", async () => {
    await replace([[A, [routeTo(1)]]], { "X-Backend-Request-ID": "req-routes" });
    const circuit = await stage.circuitOf(A);
    expect(circuit).toMatchObject({ origin_request_id: null, revision: 3, session_ids: [routeTo(1).session_id] });
    await until(() => stage.told.length >= 3);
    const [event] = stage.told.slice(2);
    expect(event).toMatchObject({
      name: "appproxy_circuit_route_updated_event",
      requestId: "req-routes",
      payload: { target_worker_authority: "w", revision: 3, routes: [{ ...routeTo(1), ...FULL }] },
    });
    expect(event !== undefined && "circuit" in event.payload ? event.payload.circuit : null).toEqual(circuit ?? null);
  });

  test("with no routes means no traffic", async () => {
    await replace([[A, [routeTo(1)]]]);
    expect(await replace([[A, []]])).toEqual([done(A)]);
    expect(await stage.circuitOf(A)).toMatchObject({ route_info: [], session_ids: [], revision: 4 });
  });

  test("takes the last of the routes with one id, and the last of the tables of one endpoint", async () => {
    const last = routeTo(1, { kernel_port: 9000 });
    await replace([[A, [routeTo(1), routeTo(2), { ...last, route_id: id(1).toUpperCase() }]]]);
    expect(await routesOf(A)).toEqual([{ ...last, ...FULL }, { ...routeTo(2), ...FULL }]); // prettier-ignore
    expect(await replace([[A, [routeTo(1)]], [A, [routeTo(3)]]])).toEqual([done(A), done(A)]); // prettier-ignore
    expect(await idsOf(A)).toEqual([id(3)]);
  });

  test("takes an IPv6 address with or without the brackets of a URL", async () => {
    const hosts = ["[fd00::1]", "fd00::1"].map((kernel_host, at) =>
      routeTo(at + 1, { kernel_host, kernel_port: 8000 + at }),
    );
    await replace([[A, hosts]]);
    expect((await routesOf(A))?.map(({ kernel_host: host }) => host)).toEqual(["fd00::1", "fd00::1"]);
  });

  test("keeps what older Managers say: hyphens in keys, the endpoint's other name, shares of the traffic", async () => {
    const { route_id, session_id } = routeTo(1, { route_id: id(1).toUpperCase() });
    const route = { "route-id": route_id, "session-id": session_id, "session-name": "s1", "kernel-host": "k1.example", "kernel-port": 8000, "traffic-ratio": 0.25, protocol: "h2" }; // prettier-ignore
    const endpoints = [{ "endpoint-id": A.toUpperCase(), routes: [route] }];
    const { body } = await stage.manager.api("POST", "/v2/endpoints/bulk/routes", { endpoints });
    expect(body).toEqual({ endpoints: [done(A)] });
    expect(await routesOf(A)).toEqual([
      { route_id: id(1), session_id, session_name: "s1", kernel_host: "k1.example", kernel_port: 8000, protocol: "http", traffic_ratio: 0.25 },
    ]); // prettier-ignore
  });
});

describe("registering", () => {
  test("adds to the routes that are there, and says which were new", async () => {
    await replace([[A, [routeTo(1)]]]);
    const moved = routeTo(1, { kernel_port: 9000 });
    expect(await register([[A, [routeTo(3), moved, routeTo(2)]], [UNKNOWN, [routeTo(4)]], [B, []]])).toEqual([
      { ...done(A), registered_route_ids: [id(3), id(2)], already_registered_route_ids: [id(1)] },
      { ...failed(UNKNOWN, NONE_YET), registered_route_ids: [], already_registered_route_ids: [] },
      { ...done(B), registered_route_ids: [], already_registered_route_ids: [] },
    ]); // prettier-ignore
    expect(await routesOf(A)).toEqual([1, 3, 2].map((at) => ({ ...routeTo(at), ...FULL })));
  });

  test("counts a route once that is named twice, in one entry or in two", async () => {
    const last = routeTo(1, { kernel_port: 9000 });
    const [first, second] = await register([[A, [routeTo(1), last]], [A, [routeTo(1), routeTo(2)]]]); // prettier-ignore
    expect(first).toMatchObject({ registered_route_ids: [id(1)], already_registered_route_ids: [] });
    expect(second).toMatchObject({ registered_route_ids: [id(2)], already_registered_route_ids: [id(1)] });
    expect(await routesOf(A)).toEqual([{ ...last, ...FULL }, { ...routeTo(2), ...FULL }]); // prettier-ignore
  });
});

describe("unregistering", () => {
  test("takes routes away, and says which were not there", async () => {
    await replace([[A, [routeTo(1), routeTo(2), routeTo(3)]]]);
    expect(await unregister([[A, [id(3), id(4), id(1).toUpperCase(), id(3)]], [UNKNOWN, [id(1)]], [B, [id(1)]]])).toEqual([
      { ...done(A), unregistered_route_ids: [id(3), id(1)], already_absent_route_ids: [id(4)] },
      { ...failed(UNKNOWN, NONE_YET), unregistered_route_ids: [], already_absent_route_ids: [] },
      { ...done(B), unregistered_route_ids: [], already_absent_route_ids: [id(1)] },
    ]); // prettier-ignore
    expect(await idsOf(A)).toEqual([id(2)]);
  });
});

describe("the sessions of an endpoint", () => {
  test("follow its routes: in its circuit, and as a filter of circuits", async () => {
    const twin = routeTo(2, { session_id: routeTo(1).session_id });
    await replace([[A, [routeTo(1), twin, routeTo(3)]], [B, [routeTo(3)]]]); // prettier-ignore
    expect((await stage.circuitOf(A))?.session_ids).toEqual([routeTo(1).session_id, routeTo(3).session_id]);
    expect([await leadsTo(1), (await leadsTo(3)).toSorted(), await leadsTo(2)]).toEqual([[A], [A, B], []]);
    await unregister([[A, [id(1), id(3)]]]);
    expect([await leadsTo(1), await leadsTo(3)]).toEqual([[A], [B]]);
    await register([[A, [routeTo(2), routeTo(4)]]]);
    await replace([[B, []]]);
    expect([await leadsTo(1), await leadsTo(3), await leadsTo(4)]).toEqual([[A], [], [A]]);
    await stage.client.deleteEndpoint({ endpoint_id: A });
    expect([await leadsTo(1), await leadsTo(4)]).toEqual([[], []]);
  });
});

describe("a call that changes nothing", () => {
  test("makes no revision and tells nobody", async () => {
    const full = routeTo(1, { session_name: null, traffic_ratio: 1 });
    await replace([[A, [routeTo(1), routeTo(2)]]]);
    const before = await revision();
    await replace([[A, [full, routeTo(2)]], [B, []], [UNKNOWN, []]]); // prettier-ignore
    await register([[A, [routeTo(2), routeTo(1, { kernel_port: 9 })]], [B, []]]); // prettier-ignore
    await unregister([[A, [id(3)]], [A, []], [B, [id(1)]]]); // prettier-ignore
    expect([await replace([]), await register([]), await unregister([]), await revision()]).toEqual([[], [], [], before]); // prettier-ignore
    await replace([[B, [routeTo(1)]]], { "X-Backend-Request-ID": "marker" });
    await until(() => stage.told.at(-1)?.requestId === "marker");
    expect(stage.told.map(({ payload: { revision } }) => revision)).toEqual([1, 2, before, before + 1]);
  });
});

describe("a call about many", () => {
  test("makes consecutive revisions, which the worker hears of in order, with the request that did it", async () => {
    await stage.client.deleteEndpoints({ body: { endpoints: [{ deployment_id: A }, { deployment_id: B }] } });
    const ids = newIds(10);
    await stage.client.syncEndpoints({ body: { endpoints: ids.map((id) => ({ deployment_id: id, ...service() })) } });
    const before = stage.told.length;
    const start = await revision();
    await replace(ids.map((id, at) => [id, [routeTo(at)]]), { "X-Backend-Request-ID": "all" }); // prettier-ignore
    await until(() => stage.told.length >= before + 10);
    const events = stage.told.slice(before);
    const about = events.map(({ requestId, payload }) => [requestId, payload.revision, "circuit" in payload ? payload.circuit.endpoint_id : null]); // prettier-ignore
    expect(about).toEqual(ids.map((id, at) => ["all", start + 1 + at, id]));
  });
});
