/** Health of model services' kernels as the coordinator tells it: what the nodes of a worker report with their heartbeats. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { EndpointHealth, RouteReport, RouteReports, RouteStatus } from "../../../shared/protocol/schema/health.ts";
import { startFakeWorker, type FakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { until } from "../../support/until.ts";
import { expectProblem } from "./plan.ts";
import { Stage } from "./stage.ts";
import { atEnd } from "../../support/at-end.ts";

let lone: LoneCoordinator;
let stage: Stage;
let worker: FakeWorker;

/** The first node is the fake worker's own; each of a test's other nodes leaves with it. */
const OWN = "n1";
const others = ["n2", "n3"];

beforeAll(async () => {
  lone = await startLoneCoordinator({ coordinator: { worker_heartbeat_timeout: 3600 } });
  stage = new Stage(lone.manager);
  worker = await startNode(lone);
});
afterEach(async () => {
  await stage.clear();
  for (const node of others) await leave(node);
  await beat({ node_id: OWN });
});
afterAll(async () => {
  await worker.stop();
  await lone.stop();
});

function startNode({ manager, redis }: LoneCoordinator): Promise<FakeWorker> {
  const both = ["interactive", "inference"];
  return startFakeWorker(manager, redis.port, { authority: "w", node_id: OWN, accepted_traffics: both });
}

const path = () => `/api/worker/${worker.id}`;
const beat = (body?: Record<string, unknown>) => lone.manager.api("PATCH", path(), body);
const leave = (node: string) => lone.manager.api("DELETE", `${path()}?node_id=${node}`);
const report = (node: string, routes: RouteReports) => beat({ node_id: node, revision: 1, routes });

/** A model service with three routes. */
async function model() {
  const { endpoint_id: id, circuit } = await stage.endpoint(3);
  const [a = "", b = "", c = ""] = circuit.route_info.map((route) => route.route_id ?? "");
  const say = (node: string, ...routes: RouteReport[]) => report(node, [{ circuit_id: circuit.id, routes }]);
  return { id, circuit, a, b, c, say };
}

/** Of each route what is said, when it was asked and how often it failed. */
type Known = (RouteStatus | number)[][];

/** What the coordinator knows of a circuit's routes. */
async function known(circuit_id: string): Promise<Known | undefined> {
  const { circuits } = await stage.client.circuitHealth({ circuit_id });
  return circuits[0]?.all_routes.map((route) => [
    route.health_status,
    route.last_health_check,
    route.consecutive_failures,
  ]);
}
const UNKNOWN = [null, null, 0];

describe("a kernel is", () => {
  test("not known before anybody has said anything", async () => {
    const { circuit } = await model();
    expect(await known(circuit.id)).toEqual([UNKNOWN, UNKNOWN, UNKNOWN]);
  });

  test("as its worker's node says: well, unwell, or not known yet", async () => {
    const { circuit, a, b, c, say } = await model();
    await say(OWN, [a, "healthy", 1000.25, 0], [b, "unhealthy", 1001, 4], [c, null, 1002, 1]);
    expect(await known(circuit.id)).toEqual([
      ["healthy", 1000.25, 0],
      ["unhealthy", 1001, 4],
      [null, 1002, 1],
    ]);
  });

  test("what the node said last", async () => {
    const { circuit, a, b, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0], [b, "unhealthy", 1000, 3]);
    await say(OWN, [a, "unhealthy", 1010, 3]);
    expect(await known(circuit.id)).toEqual([["unhealthy", 1010, 3], UNKNOWN, UNKNOWN]);
  });

  test("unwell when two nodes disagree; else what is known, and known last", async () => {
    const { circuit, a, b, c, say } = await model();
    await say(OWN, [a, "healthy", 2000, 0], [b, "healthy", 1000, 0], [c, null, null, 2]);
    await say("n2", [a, "unhealthy", 1000, 5], [b, "healthy", 1500, 0], [c, "healthy", 900, 0]);
    const wanted: Known = [["unhealthy", 1000, 5], ["healthy", 1500, 0], ["healthy", 900, 0]]; // prettier-ignore
    expect(await known(circuit.id)).toEqual(wanted);
    await say("n3", [a, "unhealthy", 3000, 9], [b, "healthy", 1200, 0], [c, null, 5000, 0]);
    expect(await known(circuit.id)).toEqual([["unhealthy", 3000, 9], ...wanted.slice(1)]);
  });

  test("not known of a route that no node knows, nor of one that is another circuit's", async () => {
    const [one, other] = [await model(), await model()];
    await one.say(OWN, [other.a, "healthy", 1000, 0], [crypto.randomUUID(), "healthy", 1000, 0]);
    expect([await known(one.circuit.id), await known(other.circuit.id)].flat()).toEqual(
      Array.from({ length: 6 }, () => UNKNOWN),
    );
  });

  test("not known any more of a route that was taken away and comes again, until a node speaks of it", async () => {
    const { id, circuit, a, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0]);
    await stage.client.unregisterRoutes({ body: { endpoints: [{ deployment_id: id, route_ids: [a] }] } });
    expect(await known(circuit.id)).toHaveLength(2);
    await beat({ node_id: OWN, routes: [] });
    expect(await known(circuit.id)).toEqual([UNKNOWN, UNKNOWN]);
  });
});

describe("what a node has said is forgotten", () => {
  test.each<[string, Record<string, unknown>]>([
    ["without a report", { node_id: OWN }],
    ["with an empty one", { node_id: OWN, routes: [] }],
    ["with null in its place", { node_id: OWN, routes: null }],
  ])("with its next heartbeat %s", async (_what, next) => {
    const { circuit, a, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0]);
    expect((await known(circuit.id))?.[0]).toEqual(["healthy", 1000, 0]);
    expect((await beat(next)).status).toBe(200);
    expect((await known(circuit.id))?.[0]).toEqual(UNKNOWN);
  });

  test("when it leaves, and what others say stays", async () => {
    const { circuit, a, b, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0]);
    await say("n2", [a, "unhealthy", 1000, 3], [b, "unhealthy", 1000, 3]);
    await leave("n2");
    expect(await known(circuit.id)).toEqual([["healthy", 1000, 0], UNKNOWN, UNKNOWN]);
  });

  test("when its lease has run out", async () => {
    const short = await startLoneCoordinator({ coordinator: { worker_heartbeat_timeout: 10 } });
    atEnd(() => short.stop());
    const node = await startNode(short);
    atEnd(() => node.stop());
    const there = new Stage(short.manager);
    const { circuit } = await there.endpoint(1);
    const routes: RouteReport[] = [[circuit.route_info[0]?.route_id ?? "", "healthy", 1000, 0]];
    const body = { node_id: OWN, routes: [{ circuit_id: circuit.id, routes }] };
    await there.client.heartbeat({ worker_id: node.id, body });
    const healthy = async () => (await there.client.healthSummary({})).summary.healthy_routes;
    expect(await healthy()).toBe(1);
    await until(async () => (await healthy()) === 0);
    expect((await there.client.healthSummary({})).summary).toMatchObject({ total_routes: 1, unknown_routes: 1 });
  });
});

describe("a heartbeat", () => {
  test("of the original, without a body, is taken, and says nothing of kernels that other nodes know", async () => {
    const { circuit, a, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0]);
    const answer = await beat();
    expect(answer).toMatchObject({ status: 200, body: { status: "ALIVE", nodes: 2 } });
    expect((await known(circuit.id))?.[0]).toEqual(["healthy", 1000, 0]);
    await lone.manager.api("DELETE", path());
  });

  const [CIRCUIT, ROUTE] = [crypto.randomUUID(), crypto.randomUUID()];
  const of = (...routes: unknown[]) => [{ circuit_id: CIRCUIT, routes }];
  test.each<[string, unknown]>([
    ["that is no list", { [CIRCUIT]: [[ROUTE, "healthy", 1, 0]] }],
    ["of no circuit", [{ routes: [[ROUTE, "healthy", 1, 0]] }]],
    ["with another word", of([ROUTE, "fine", 1, 0])],
    ["with a time that is text", of([ROUTE, "healthy", "now", 0])],
    ["with less than no failures", of([ROUTE, "healthy", 1, -1])],
    ["with a route that is cut off", of([ROUTE, "healthy", 1])],
    ["with a route that is none", of(["r", "healthy", 1, 0])],
  ])("with a report %s is 400, and the node stays with what it said", async (_what, routes) => {
    const { circuit, a, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0]);
    expectProblem(await beat({ node_id: OWN, routes }), "invalid-api-params", /^routes/);
    expect((await known(circuit.id))?.[0]).toEqual(["healthy", 1000, 0]);
  });
});

describe("of all model services", () => {
  test("the sums are told, and of each its routes", async () => {
    const [one, other] = [await model(), await model()];
    await lone.manager.api("PUT", `/v2/endpoints/${other.id}/health-check`, { health_check: null });
    await report(OWN, [
      { circuit_id: one.circuit.id, routes: [[one.a, "healthy", 1000, 0], [one.b, "unhealthy", 1000, 2]] },
      { circuit_id: other.circuit.id, routes: [[other.a, "healthy", null, 0]] },
    ]); // prettier-ignore
    expect(await stage.client.healthSummary({})).toEqual({
      success: true,
      summary: {
        total_endpoints: 2,
        endpoints_with_health_checks: 1,
        total_routes: 6,
        healthy_routes: 2,
        unhealthy_routes: 1,
        unknown_routes: 3,
      },
    });
    const { endpoints } = await stage.client.endpointsHealth({});
    const counts = (of: EndpointHealth) => [of.health_check_enabled, of.total_routes, of.healthy_routes, of.unhealthy_routes, of.unknown_routes]; // prettier-ignore
    const byId = new Map(endpoints.map((of) => [of.endpoint_id, counts(of)]));
    expect(byId.get(one.id)).toEqual([true, 3, 1, 1, 1]);
    expect(byId.get(other.id)).toEqual([false, 3, 1, 0, 2]);
  });

  test("there are none, when there are none", async () => {
    await stage.circuit();
    const none = { total_endpoints: 0, endpoints_with_health_checks: 0, total_routes: 0, healthy_routes: 0, unhealthy_routes: 0, unknown_routes: 0 }; // prettier-ignore
    expect(await stage.client.healthSummary({})).toEqual({ success: true, summary: none });
    expect(await stage.client.endpointsHealth({})).toEqual({ success: true, endpoints: [] });
  });

  test("one circuit is told of with all that it has", async () => {
    const { id, circuit, a, say } = await model();
    await say(OWN, [a, "healthy", 1000, 0]);
    const { created_at, updated_at } = circuit;
    const said = { health_status: null, last_health_check: null, consecutive_failures: 0, created_at, updated_at };
    const routes = circuit.route_info.map(({ session_name: _n, traffic_ratio: _t, ...route }) => ({
      ...route,
      ...said,
    }));
    routes.splice(0, 1, { ...routes[0], health_status: "healthy", last_health_check: 1000 } as never);
    const answer = await lone.manager.api("GET", `/health/circuits/${circuit.id.toUpperCase()}`);
    expect(answer.body).toEqual({
      success: true,
      circuits: [{ circuit_id: circuit.id, endpoint_id: id, total_routes: 3, healthy_routes: 1, all_routes: routes }],
    } as never);
  });

  test("an app of a session is well, for nobody asks it", async () => {
    const { id } = await stage.circuit();
    expect((await stage.client.circuitHealth({ circuit_id: id })).circuits).toEqual([
      { circuit_id: id, endpoint_id: null, total_routes: 1, healthy_routes: 1, all_routes: [] },
    ]);
  });
});
