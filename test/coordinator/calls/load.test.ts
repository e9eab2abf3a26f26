/** 64 callers at once, of every call: nobody gets a 5xx, and afterwards all is as it would be after one by one. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../../support/until.ts";
import { startUsual, type Started } from "./places.ts";
import type { Given, Name } from "./stage.ts";
import { route, service, type Stage } from "./stage.ts";
import { table } from "./table.ts";

const CALLERS = 64;

let started: Started;
let stage: Stage;
beforeAll(async () => {
  started = await startUsual(4 * CALLERS, {}, CALLERS);
  ({ stage } = started);
});
afterEach(() => stage.clear());
afterAll(() => started.stop());

const all = table.map((call) => ({ ...call, title: call.documented.name }));

/** As many at once as there are callers. */
function together<T>(work: (at: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: CALLERS }, (_, at) => work(at)));
}

/** Sends a request each and gives the statuses, with how often each came. */
async function statuses(name: Name, given: (at: number) => Given): Promise<Record<number, number>> {
  return countBy((await together((at) => stage.send(name, given(at)))).map(({ status }) => status));
}

describe("each making or changing things of their own:", () => {
  const BY_GET = new Set<Name>(["openByQuery", "close"]);
  const changing = all.filter(({ name, documented }) => documented.method !== "GET" || BY_GET.has(name));

  test.each(changing)("$title", async ({ name, plan }) => {
    const inputs = await together(() => plan.good(stage));
    const answers = await Promise.all(inputs.map((input) => stage.call(name, input)));
    // Of those who have asked the same, one is looked at.
    const different = new Map(inputs.map((input, at) => [JSON.stringify(input), at]));
    for (const at of different.values()) await plan.so(answers[at], inputs[at] ?? {}, stage);
  });
});

describe("all with the same thing:", () => {
  test.each(all)("$title", async ({ name, plan: { good, so, same = (answer) => answer } }) => {
    const input = await good(stage);
    if (same === null) {
      // One has deleted it; to the others it is gone.
      return expect(await statuses(name, () => input)).toEqual({ 200: 1, 404: CALLERS - 1 });
    }
    const answers = await together(() => stage.call(name, input));
    const first = same(answers[0]);
    expect(answers.map(same)).toEqual(answers.map(() => first));
    await so(answers[0], input, stage);
  });
});

describe("what they make is there once:", () => {
  test("a model service has one circuit, one slot and one URL", async () => {
    const id = crypto.randomUUID();
    const urls = await together(() => stage.client.syncEndpoint({ endpoint_id: id, body: service(id) }));
    const { circuits, slots } = await stage.state();
    expect(new Set(urls.map(({ endpoint }) => endpoint)).size).toBe(1);
    expect(circuits.map((one) => one.endpoint_id)).toEqual([id]);
    expect(slots.filter((slot) => slot.in_use).map(({ port }) => port)).toEqual([circuits[0]?.port ?? 0]);
  });

  test("eight model services in 64 lists have a circuit each", async () => {
    const ids = Array.from({ length: 8 }, () => crypto.randomUUID());
    const endpoints = ids.map((id) => ({ deployment_id: id, ...service(id) }));
    const answers = await together((at) =>
      stage.client.syncEndpoints({ body: { endpoints: at % 2 === 0 ? endpoints : endpoints.toReversed() } }),
    );
    const urls = new Set(answers.flatMap(({ endpoints }) => endpoints.map((one) => `${one.deployment_id} ${one.url}`)));
    expect(urls.size).toBe(8);
    expect((await stage.state()).circuits.map((one) => one.endpoint_id).toSorted()).toEqual(ids.toSorted());
  });

  test("an app of one session has one circuit, and one caller has made it", async () => {
    const body = { ...(await stage.token()), app: "jupyter", protocol: "http" as const };
    const answers = await together(() => stage.client.open({ body }));
    expect(countBy(answers.map(({ reuse }) => String(reuse)))).toEqual({ false: 1, true: CALLERS - 1 });
    expect((await stage.state()).circuits.map(({ id }) => id)).toEqual([answers[0]?.circuit_id ?? ""]);
  });

  test("an app of one session whose callers know two kernels of it has one circuit, to one of them", async () => {
    const { token, session_id } = await stage.token();
    const moved = await stage.manager.conf({ kernel_port: 2, session_id });
    const wish = (at: number) => ({
      token: at % 2 === 0 ? token : moved.token,
      session_id,
      app: "a",
      protocol: "http",
    });
    expect(await statuses("open", (at) => ({ body: wish(at) }))).toEqual({ 200: CALLERS });
    const { circuits } = await stage.state();
    expect(circuits.map((one) => one.route_info.map((route) => route.kernel_port < 3))).toEqual([[true]]);
  });

  test("a worker that registers has one record", async () => {
    const body = stage.registration();
    const ids = await together(async () => (await stage.client.registerWorker({ body })).id);
    expect(new Set(ids).size).toBe(1);
  });

  test("a port that all want is one caller's, and the others are told so", async () => {
    const { port } = await stage.circuit();
    await stage.clear();
    const tokens = await together(() => stage.token());
    const wish = (at: number) => ({ ...tokens[at], app: "jupyter", protocol: "http", port });
    expect(await statuses("open", (at) => ({ body: wish(at) }))).toEqual({ 200: 1, 409: CALLERS - 1 });
    expect((await stage.state()).circuits.map((one) => one.port)).toEqual([port]);
  });
});

describe("what they change is not lost:", () => {
  test("64 routes are added by 64 callers, and taken away again", async () => {
    const { endpoint_id: id } = await stage.endpoint();
    const routes = Array.from({ length: CALLERS }, route);
    const listed = <T>(rest: T) => ({ body: { endpoints: [{ deployment_id: id, ...rest }] } });
    await Promise.all(routes.map((one) => stage.client.registerRoutes(listed({ routes: [one] }))));
    const ids = async () => (await stage.circuitOf(id)).route_info.map((one) => one.route_id).toSorted();
    expect(await ids()).toEqual(routes.map((one) => one.route_id).toSorted());
    await Promise.all(routes.map((one) => stage.client.unregisterRoutes(listed({ route_ids: [one.route_id] }))));
    expect(await ids()).toEqual([]);
  });

  test("a model service that Managers want otherwise at once is as one of them wants, and all are told its URL", async () => {
    const id = crypto.randomUUID();
    const wish = (at: number): Given => ({ endpoint_id: id, body: { ...service(id), open_to_public: at % 2 === 0 } });
    const lists = (at: number): Given => ({
      body: { endpoints: [{ deployment_id: id, ...(wish(at).body as object) }] },
    });
    expect(await statuses("syncEndpoint", wish)).toEqual({ 200: CALLERS });
    const answers = await together((at) => stage.send("syncEndpoints", lists(at)));
    const [first] = answers;
    for (const { body } of answers) expect(body).toEqual(first?.body ?? {});
    expect(first?.body).toMatchObject({ endpoints: [{ success: true, error: null }] });
    expect((await stage.state()).circuits.map((one) => one.endpoint_id)).toEqual([id]);
  });

  test("everything at once about one model service ends in order", async () => {
    const { endpoint_id: id, circuit, routes } = await stage.endpoint(2);
    const listed = (rest: object): Given => ({ body: { endpoints: [{ deployment_id: id, ...rest }] } });
    const asked: [Name, Given][] = [
      ["syncEndpoint", { endpoint_id: id, body: service(id) }],
      ["syncEndpoints", listed(service(id))],
      ["deleteEndpoint", { endpoint_id: id }],
      ["deleteEndpoints", listed({})],
      ["setHealthCheck", { endpoint_id: id, body: { health_check: { interval: 30 } } }],
      ["mintToken", { endpoint_id: id, body: { user_uuid: id, exp: Math.floor(Date.now() / 1000) + 60 } }],
      ["replaceRoutes", listed({ routes: [route()] })],
      ["registerRoutes", listed({ routes: routes.slice(0, 1) })],
      ["unregisterRoutes", listed({ route_ids: [routes[1]?.route_id] })],
      ["getStatistics", { circuit_id: circuit.id }],
      ["circuitHealth", { circuit_id: circuit.id }],
      ["deleteCircuit", { circuit_id: circuit.id }],
      ["endpointsHealth", {}],
      ["listSlots", { query: { in_use: false } }],
    ];
    const answers = await together((at) => {
      const [name, given] = asked[at % asked.length] ?? ["hello", {}];
      return stage.send(name, given);
    });
    expect(answers.filter(({ status }) => status !== 200 && status !== 404)).toEqual([]);
    await stage.client.syncEndpoint({ endpoint_id: id, body: service(id) });
    const { circuits, slots } = await stage.state();
    expect(circuits.map((one) => one.endpoint_id)).toEqual([id]);
    expect(slots.filter((slot) => slot.in_use).map((slot) => slot.circuit_id)).toEqual(circuits.map((one) => one.id));
  });

  test("the worker ends with exactly the circuits that are left", async () => {
    const made = await together(() => stage.circuit());
    await together(async (at) => {
      if (at % 2 === 0) await stage.client.deleteCircuit({ circuit_id: made[at]?.id ?? "" });
      else await stage.circuit();
    });
    const { circuits, workers } = await stage.state();
    expect(circuits.length).toBe(CALLERS);
    const revision = workers.find(({ id }) => id === circuits[0]?.worker)?.revision;
    await until(async () => {
      const health = (await (await fetch(`${started.workerApi}/health`)).json()) as Record<string, unknown>;
      return health["circuits"] === CALLERS && health["revision"] === revision;
    });
  });
});

// --- internal ---

function countBy<K extends string | number>(all: readonly K[]): Record<K, number> {
  const counts = {} as Record<K, number>;
  for (const one of all) counts[one] = ((counts[one] as number | undefined) ?? 0) + 1;
  return counts;
}
