/** When calls about routes answer: after a living worker of ours routes so, and never much later than a second. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createClient } from "../../../shared/client/client.ts";
import { operations } from "../../../shared/protocol/operations.ts";
import { startApp } from "../../support/app.ts";
import { startCluster } from "../../support/cluster.ts";
import { API_SECRET } from "../../support/manager.ts";
import { newIds, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { owed } from "../../support/owed.ts";
import { until } from "../../support/until.ts";

let stage: Stage;

beforeEach(async () => {
  stage = await startStage();
});

afterEach(() => stage.stop());

/** Milliseconds that a change of the routes of all `ids` takes. */
async function took(ids: string[], at = 1): Promise<number> {
  const start = performance.now();
  const endpoints = ids.map((deployment_id) => ({ deployment_id, routes: [routeTo(at)] }));
  const answer = await stage.client.replaceRoutes({ body: { endpoints } });
  expect(answer.endpoints.map(({ success }) => success)).toEqual(ids.map(() => true));
  return performance.now() - start;
}

async function create(ids: string[]): Promise<void> {
  const endpoints = ids.map((deployment_id) => ({ deployment_id, ...service() }));
  await stage.client.syncEndpoints({ body: { endpoints } });
}

describe("an answer", () => {
  test("does not wait for a worker of the original, which acknowledges no change", async () => {
    const old = await stage.worker({ authority: "w", node_id: undefined });
    const ids = newIds(3);
    await create(ids);
    expect(await took(ids)).toBeLessThan(owed(900));
    await until(() => old.events.filter(({ name }) => name === "appproxy_circuit_route_updated_event").length === 3);
  });

  test("waits about a second for a silent worker, however many endpoints it has, and not for the one that is gone", async () => {
    const silent = await stage.worker({ authority: "w" });
    const ids = newIds(5);
    await create(ids);
    silent.answers = false;
    const waited = await took(ids);
    expect([waited > 900, waited < owed(3000)]).toEqual([true, true]);
    await stage.client.deregisterWorker({ worker_id: silent.id, query: { node_id: "n1" } });
    expect(await took(ids, 2)).toBeLessThan(owed(900));
  });

  test("leaves what the worker did not acknowledge in time as it is", async () => {
    const slow = await stage.worker({ authority: "w" });
    const [id = ""] = newIds(1);
    await create([id]);
    slow.answers = false;
    await took([id]);
    expect((await stage.circuitOf(id))?.route_info).toHaveLength(1);
    slow.answers = true;
    expect(await took([id], 2)).toBeLessThan(owed(900));
    expect((await stage.client.syncEndpoint({ endpoint_id: id, body: service() })).success).toBe(true);
  });
});

test("an answer waits for the worker also when another call changes the same endpoint meanwhile", async () => {
  const silent = await stage.worker({ authority: "w" });
  const [id = ""] = newIds(1);
  await create([id]);
  silent.answers = false;
  const first = took([id], 1);
  await until(() => silent.events.some(({ payload }) => payload.revision === 2));
  const both = await Promise.all([first, took([id], 2)]);
  expect(Math.min(...both)).toBeGreaterThan(900);
});

test("after an answer every request goes where it says, at a real worker", async () => {
  const cluster = await startCluster({ redisPort: stage.redis.port });
  stage.defer(() => cluster.stop());
  const apps = [startApp(), startApp()] as const;
  for (const app of apps) stage.defer(() => app.stop());
  const { client, url } = await publicService(cluster.coordinator.baseUrl);
  for (let round = 0; round < 30; round++) {
    const app = apps[round % 2 === 0 ? 0 : 1];
    const before = app.requests.length;
    const routes = [routeTo(round, { kernel_host: "127.0.0.1", kernel_port: app.port })];
    await client.replaceRoutes({ body: { endpoints: [{ deployment_id: SERVICE, routes }] } });
    await Promise.all([1, 2, 3].map(() => fetch(url).then((answer) => answer.arrayBuffer())));
    expect(app.requests.length - before).toBe(3);
  }
  await client.unregisterRoutes({ body: { endpoints: [{ deployment_id: SERVICE, route_ids: [routeTo(29).route_id] }] } }); // prettier-ignore
  expect((await fetch(url)).status).toBe(503);
});

const SERVICE = "0e000000-0000-4000-8000-00000000000a";

async function publicService(baseUrl: string) {
  const client = createClient(operations, { baseUrl, secret: API_SECRET });
  const { endpoint: url } = await client.syncEndpoint({
    endpoint_id: SERVICE,
    body: service({ open_to_public: true }),
  });
  return { client, url };
}
