/** Many callers and several coordinators at once: one circuit an endpoint, no route lost, worker and database agree. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createClient } from "../../../shared/client/client.ts";
import { operations } from "../../../shared/protocol/operations.ts";
import type { RouteEntry } from "../../../shared/protocol/schema/endpoint.ts";
import { startCluster } from "../../support/cluster.ts";
import { API_SECRET } from "../../support/manager.ts";
import { newIds, refusal, replay, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { portRegistration } from "../../support/rows.ts";
import { until } from "../../support/until.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";

let stage: Stage;

beforeEach(async () => {
  stage = await startStage();
});

afterEach(() => stage.stop());

/** Of a worker that has come back, for apps that nobody asks for. */
const otherRange = (authority: string) => portRegistration(authority, { port_range: [32_000, 32_009], node_id: "n1" });

const times = <T>(count: number, work: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => work(at));
const sync = (body = service(), client = stage.client) => client.syncEndpoint({ endpoint_id: ID, body });
const all = async () => (await stage.client.listCircuits({ query: { limit: 1000 } })).circuits;

describe("one endpoint", () => {
  test("that 64 callers sync at once gets one circuit", async () => {
    const { events } = await stage.worker({ authority: "w", port_range: [30_000, 30_099] });
    const answers = await Promise.all(times(64, () => sync()));
    expect(new Set(answers.map(({ endpoint }) => endpoint))).toEqual(new Set(["http://worker.example:30000/"]));
    expect((await all()).map(({ endpoint_id: id }) => id)).toEqual([ID]);
    // A busy worker is asked again for what it was told already.
    const told = events.flatMap((one) => (one.name === "appproxy_circuit_created_event" ? [one.payload.revision] : []));
    expect(new Set(told).size).toBe(1);
  });

  test("that callers want differently settles on one of them, and none undoes the other in turn", async () => {
    const mine = await stage.worker({ authority: "w" });
    await sync();
    const answers = await Promise.all(times(16, (at) => sync(service({ open_to_public: at % 2 === 0 }))));
    expect(answers.every(({ success }) => success)).toBe(true);
    expect((await stage.client.getWorker({ worker_id: mine.id })).revision).toBeLessThanOrEqual(17);
  });

  test("to which 64 callers register different routes has them all", async () => {
    const { events } = await stage.worker({ authority: "w" });
    await sync();
    const routes = times(64, (at) => routeTo(at));
    const answers = await Promise.all(
      routes.map((route) => stage.client.registerRoutes({ body: { endpoints: [{ deployment_id: ID, routes: [route] }] } })),
    );
    expect(answers.map(({ endpoints }) => endpoints[0]?.registered_route_ids)).toEqual(routes.map(({ route_id: id }) => [id]));
    const circuit = await stage.circuitOf(ID);
    expect(new Set(circuit?.route_info.map(({ route_id: id }) => id))).toEqual(new Set(routes.map(({ route_id: id }) => id)));
    await until(() => replay(events, "w").get(circuit?.id ?? "")?.revision === circuit?.revision);
    expect(replay(events, "w").get(circuit?.id ?? "")).toEqual(circuit);
  }); // prettier-ignore

  test("whose table callers of two coordinators change at random is what the changes make in their order", async () => {
    const { events } = await stage.worker({ authority: "w" });
    await sync();
    const clients = [stage.client, await stage.another()] as const;
    const random = randomFrom(20_260_823);
    const some = (most: number) => times(random(most + 1), () => routeTo(random(8), { kernel_port: 8000 + random(3) }));
    const done = await Promise.all(
      times(8, async (caller) => {
        const results: Done[] = [];
        for (let turn = 0; turn < 12; turn++) {
          const what = (["register", "unregister", "replace"] as const)[random(3)] ?? "replace";
          results.push(await change(clients[random(2)] ?? stage.client, `${caller}-${turn}`, what, some(3)));
        }
        return results;
      }),
    );
    const circuit = await stage.circuitOf(ID);
    await until(() => replay(events, "w").get(circuit?.id ?? "")?.revision === circuit?.revision);
    checkAgainstModel(done.flat());
  });
});

test("a call about many does a changed entry while it waits for a silent worker of another one", async () => {
  await stage.stop();
  // The slow one has so long to answer, and the silent one is waited for so long.
  stage = await startStage({ coordinator: { circuit_ack_timeout: 8 } });
  const silent = await stage.worker({ authority: "a" });
  const slow = await stage.worker({ authority: "b", hostname: "slow.example" });
  silent.answers = slow.answers = false;
  const endpoints = [crypto.randomUUID() as string, ID].map((deployment_id) => ({ deployment_id, ...service() }));
  const call = stage.client.syncEndpoints({ body: { endpoints } });
  await until(() => slow.events.length > 0);
  slow.answers = true;
  await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ID, routes: [routeTo(1)] }] } });
  expect((await call).endpoints.map(({ url }) => url)).toEqual([null, "http://slow.example:30000/"]);
});

describe("two coordinators on one database", () => {
  test("that sync the same 50 endpoints at once make one circuit each, with the same URLs", async () => {
    const { events } = await stage.worker({ authority: "w", port_range: [30_000, 30_099] });
    const second = await stage.another();
    const ids = newIds(50);
    const endpoints = ids.map((deployment_id) => ({ deployment_id, ...service() }));
    const singles = ids.map((endpoint_id, at) => (at % 2 === 0 ? stage.client : second).syncEndpoint({ endpoint_id, body: service() })); // prettier-ignore
    const [one, two, ...single] = await Promise.all([
      stage.client.syncEndpoints({ body: { endpoints } }),
      second.syncEndpoints({ body: { endpoints: endpoints.toReversed() } }),
      ...singles,
    ]);
    const urls = one.endpoints.map(({ url }) => url);
    expect(new Set(urls).size).toBe(50);
    expect(two.endpoints.map(({ url }) => url).toReversed()).toEqual(urls);
    expect(single.map(({ endpoint }) => endpoint)).toEqual(urls as string[]);
    const circuits = await all();
    expect(new Set(circuits.map(({ endpoint_id: id }) => id))).toEqual(new Set(ids));
    expect(circuits.length).toBe(50);
    expect(replay(events, "w")).toEqual(new Map(circuits.map((one) => [one.id, one])));
  });

  test("of which one deletes what the other creates leave an endpoint or none, as the worker has it", async () => {
    const { events, id } = await stage.worker({ authority: "w" });
    const second = await stage.another();
    for (let round = 0; round < 15; round++) {
      const [first] = await Promise.all([sync(), second.deleteEndpoint({ endpoint_id: ID }), sync(service(), second)]);
      expect(first.success).toBe(true);
    }
    const { revision, occupied_slots } = await stage.client.getWorker({ worker_id: id });
    await until(() => events.some(({ payload }) => payload.revision === revision));
    const circuits = await all();
    expect(replay(events, "w")).toEqual(new Map(circuits.map((one) => [one.id, one])));
    expect([circuits.length <= 1, occupied_slots]).toEqual([true, circuits.length]);
  });
});

describe("who waits for a silent worker at one coordinator", () => {
  beforeEach(async () => {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 10 } });
  });

  test("hears at once that another one has deleted the endpoint, which was there", async () => {
    const silent = await stage.worker({ authority: "w" });
    silent.answers = false;
    const second = await stage.another();
    const created = sync();
    await until(() => stage.told.length > 0);
    await second.deleteEndpoint({ endpoint_id: ID });
    expect((await created).endpoint).toBe("http://worker.example:30000/");
    expect(await all()).toEqual([]);
  });

  test("is not told of success when the endpoint was taken back there", async () => {
    const silent = await stage.worker({ authority: "w" });
    silent.answers = false;
    const second = await stage.another();
    const there = refusal(sync(service(), second));
    await until(() => stage.told.length > 0);
    // It has waited for less long than the first.
    const created = refusal(sync());
    expect((await there)[2]).toBe("E10001: Proxy worker not responding");
    expect(await created).toEqual(await there);
    expect(await all()).toEqual([]);
  });

  test("gets the new URL when another one has moved the endpoint", async () => {
    const silent = await stage.worker({ authority: "home" });
    silent.answers = false;
    const second = await stage.another();
    const created = sync();
    await until(() => stage.told.length > 0);
    await stage.worker({ authority: "away", hostname: "away.example" });
    // Its slot is gone.
    await stage.client.registerWorker({ body: otherRange("home") });
    const { endpoint: url } = await sync(service(), second);
    expect([url, (await created).endpoint]).toEqual(["http://away.example:30000/", url]);
  });
});

test("one endpoint that is created and deleted at once is there or not, for a real worker too", async () => {
  const cluster = await startCluster({ redisPort: stage.redis.port });
  stage.defer(() => cluster.stop());
  const client = createClient(operations, { baseUrl: cluster.coordinator.baseUrl, secret: API_SECRET });
  const random = randomFrom(7);
  let url = "";
  for (let round = 0; round < 12; round++) {
    const create = async () => (url = (await sync(service(), client)).endpoint);
    const remove = () => client.deleteEndpoint({ endpoint_id: ID });
    await Promise.all(times(4, () => (random(2) === 0 ? create() : remove())));
    const { circuits } = await client.listCircuits({ query: {} });
    const [worker] = (await client.listWorkers({})).workers;
    expect(worker?.occupied_slots).toBe(circuits.length);
    await until(() => cluster.worker.state().revision === worker?.revision);
    if (circuits.length > 0) expect(circuits.map(({ port }) => port)).toEqual([Number(new URL(url).port)]);
    const serves = circuits.length > 0 ? 401 : null;
    await until(async () => url === "" || (await statusOf(url)) === serves, 30_000, `${url} answers ${serves}`);
  }
});

// --- internal ---

/** A call about routes, and what its answer says of them. */
interface Done {
  requestId: string;
  what: "register" | "unregister" | "replace";
  routes: RouteEntry[];
  /** Registered or unregistered. */
  changed: string[];
}

async function change(
  client: Stage["client"],
  requestId: string,
  what: Done["what"],
  routes: RouteEntry[],
): Promise<Done> {
  const headers = { "X-Backend-Request-ID": requestId };
  const tables = { endpoints: [{ deployment_id: ID, routes }] };
  const done = { requestId, what, routes };
  switch (what) {
    case "replace":
      await client.replaceRoutes({ body: tables }, headers);
      return { ...done, changed: [] };
    case "register": {
      const { endpoints } = await client.registerRoutes({ body: tables }, headers);
      return { ...done, changed: endpoints[0]?.registered_route_ids ?? [] };
    }
    case "unregister": {
      const ids = { endpoints: [{ deployment_id: ID, route_ids: routes.map(({ route_id: id }) => id) }] };
      const { endpoints } = await client.unregisterRoutes({ body: ids }, headers);
      return { ...done, changed: endpoints[0]?.unregistered_route_ids ?? [] };
    }
  }
}

/** Every event has the table that its call makes of the one before; a call without an event says that it changed nothing. */
function checkAgainstModel(done: Done[]): void {
  const table = new Map<string, number>();
  const events = new Map(stage.told.map((event) => [event.payload.revision, event]));
  expect([...events.keys()]).toEqual(times(events.size, (at) => at + 1));
  for (const { requestId, payload } of [...events.values()].slice(1)) {
    const call = done.find((one) => one.requestId === requestId);
    if (call === undefined || !("routes" in payload)) throw new Error(`an event of nobody: ${requestId}`);
    const asked = new Map(call.routes.map(({ route_id: id, kernel_port: port }) => [id, port]));
    if (call.what === "replace") table.clear();
    const changed = [...asked.keys()].filter((id) => table.has(id) === (call.what === "unregister"));
    for (const id of changed) {
      if (call.what === "unregister") table.delete(id);
      else table.set(id, asked.get(id) ?? 0);
    }
    expect(payload.routes.map(({ route_id: id, kernel_port: port }) => [id, port])).toEqual([...table]);
    if (call.what !== "replace") expect(call.changed.toSorted()).toEqual(changed.toSorted());
    done.splice(done.indexOf(call), 1);
  }
  expect(done.flatMap(({ changed }) => changed)).toEqual([]);
}

/** Whole numbers below a limit: the same ones every time (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Null when nobody listens. */
async function statusOf(url: string): Promise<number | null> {
  return fetch(url).then(
    ({ status }) => status,
    () => null,
  );
}
