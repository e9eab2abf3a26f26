/** Slots and workers as they are listed, in both versions of the API; and which of them count as used. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { EVENTS_DB, STREAM } from "../../../shared/bus/redis.ts";
import { VERSION } from "../../../shared/runtime/version.ts";
import { startFakeWorker, type FakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { until } from "../../support/until.ts";
import { expectProblem } from "./plan.ts";
import { Stage } from "./stage.ts";

let lone: LoneCoordinator;
let stage: Stage;
let port: FakeWorker;
let wild: FakeWorker;

// Workers are never forgotten: each test has its own.
beforeEach(async () => {
  lone = await startLoneCoordinator({});
  stage = new Stage(lone.manager);
  const start = (registration: Record<string, unknown> & { authority: string }) =>
    startFakeWorker(lone.manager, lone.redis.port, { port_range: [30_000, 30_002], ...registration });
  port = await start({ authority: "a-port", hostname: "2001:db8::1", tls_advertised: true });
  wild = await start({ authority: "b-wild", frontend_mode: "wildcard", wildcard_domain: ".apps.example", port_range: null, accepted_traffics: ["inference"] }); // prettier-ignore
});
afterEach(async () => {
  for (const worker of [port, wild]) await worker.stop();
  await lone.stop();
});

const slots = async (query: Record<string, string>) => (await stage.client.listSlots({ query })).slots;
const free = (number: number) => ({ frontend_mode: "port", in_use: false, port: number, subdomain: null, circuit_id: null }) as const; // prettier-ignore

test("slots are listed when they are used, and the free ports too when they are asked for", async () => {
  const app = await stage.circuit({ port: 30_001 });
  const { circuit: model } = await stage.endpoint();
  const used = { frontend_mode: "port", in_use: true, port: 30_001, subdomain: null, circuit_id: app.id } as const;
  const named = { frontend_mode: "wildcard", in_use: true, port: null, subdomain: model.subdomain, circuit_id: model.id } as const; // prettier-ignore
  expect(await slots({})).toEqual([used, named]);
  expect(await slots({ in_use: "true" })).toEqual([used, named]);
  expect(await slots({ in_use: "false" })).toEqual([free(30_000), used, free(30_002), named]);
  for (const host of ["a-port", port.id]) {
    expect(await slots({ wsproxy_host: host })).toEqual([used]);
    expect(await slots({ wsproxy_host: host, in_use: "0" })).toEqual([free(30_000), used, free(30_002)]);
  }
  expect(await slots({ wsproxy_host: "b-wild", in_use: "False" })).toEqual([named]);
});

test("slots of a worker that nobody knows are 404", async () => {
  for (const wsproxy_host of ["nobody", crypto.randomUUID(), "A-PORT"])
    expectProblem(await stage.send("listSlots", { query: { wsproxy_host } }), "object-not-found", "worker");
});

test("slots are found by a worker's id in capitals, as its circuits are", async () => {
  await stage.circuit();
  expect(await slots({ wsproxy_host: port.id.toUpperCase() })).toHaveLength(1);
  const { circuits } = await stage.client.listCircuits({ query: { worker: port.id.toUpperCase() } });
  expect(circuits).toHaveLength(1);
});

test("slots have exactly the first version's names there", async () => {
  const { token, session_id } = await stage.token();
  const wish = {
    app: "jupyter",
    protocol: "http",
    envs: { A: "1" },
    args: "--x",
    allowed_client_ips: "10.0.0.1",
  } as const;
  const { circuit_id } = await stage.client.open({ body: { token, session_id, ...wish, open_to_public: true } });
  const app = await stage.client.getCircuit({ circuit_id });
  const { circuit: model } = await stage.endpoint();
  const common = { wsproxy_version: "v2", circuit__created: app.created_at, circuit__modified: app.updated_at };
  const listed = (await lone.manager.api("GET", "/v1/api/slots")).body as unknown as Record<string, unknown>[];
  expect(listed.toSorted((a, b) => String(a["worker__authority"]).localeCompare(String(b["worker__authority"])))).toEqual([
    { ...common, rel: app.id, port: app.port, subdomain: null, worker__authority: "a-port", circuit__app: "jupyter", circuit__session_id: session_id, circuit__open_to_public: true, circuit__allowed_client_ips: "10.0.0.1", circuit__envs: '{"A":"1"}', circuit__arguments: "--x" },
    { ...common, rel: model.id, port: null, subdomain: model.subdomain, worker__authority: "b-wild", circuit__app: model.app, circuit__session_id: null, circuit__open_to_public: false, circuit__allowed_client_ips: null, circuit__envs: null, circuit__arguments: null, circuit__created: model.created_at, circuit__modified: model.updated_at },
  ]); // prettier-ignore
});

test("so have the workers that have them", async () => {
  await stage.circuit();
  await stage.endpoint();
  const times = async ({ id }: FakeWorker) => {
    const { created_at: created, updated_at: updated } = await stage.client.getWorker({ worker_id: id });
    return { created, updated };
  };
  expect((await lone.manager.api("GET", "/v1/api/worker")).body as unknown).toEqual([
    { authority: "a-port", endpoint: "https://[2001:db8::1]:5050", total_slots: 3, ports_in_use: 1, min_range: 30_000, max_range: 30_002, wildcard_domain: null, ...(await times(port)) },
    { authority: "b-wild", endpoint: "http://worker.example:5050", total_slots: -1, ports_in_use: 1, min_range: null, max_range: null, wildcard_domain: ".apps.example", ...(await times(wild)) },
  ]); // prettier-ignore
});

test("slots are free again when the first version's call deletes their circuit, and its second is 404", async () => {
  const { id, port: number } = await stage.circuit();
  expect((await lone.manager.api("DELETE", `/v1/api/circuit/${id}`)).body).toEqual({ success: true });
  expect(await slots({ wsproxy_host: "a-port", in_use: "false" })).toContainEqual(free(number ?? 0));
  expectProblem(await lone.manager.api("DELETE", `/v1/api/circuit/${id}`), "object-not-found", "circuit");
});

describe("slots of the living workers are counted for whoever looks:", () => {
  const told = async () => {
    const { workers, ...rest } = await stage.client.workersStatus({});
    expect(rest).toEqual({ coordinator_version: VERSION, appproxy_api_version: "v2" });
    return workers.toSorted((a, b) => a.authority.localeCompare(b.authority));
  };
  const idle = { occupied_slots: 0, ha_setup: false };
  const both = [
    { ...idle, authority: "a-port", available_slots: 3 },
    { ...idle, authority: "b-wild", available_slots: -1 },
  ];

  test("the free ones, and whether more than one node serves them", async () => {
    expect(await told()).toEqual(both);
    const second = `/api/worker/${wild.id}`;
    await lone.manager.api("PATCH", second, { node_id: "n2" });
    expect((await told()).map((one) => one.ha_setup)).toEqual([false, true]);
    await lone.manager.api("DELETE", `${second}?node_id=n2`);
    expect(await told()).toEqual(both);
  });

  test("not those of workers that have left", async () => {
    const { id } = await stage.worker();
    expect((await told()).length).toBe(3);
    await lone.manager.api("DELETE", `/api/worker/${id}?node_id=node-1`);
    expect(await told()).toEqual(both);
  });

  test("the used ones", async () => {
    await stage.circuit();
    await stage.endpoint();
    expect((await told()).map((one) => [one.available_slots, one.occupied_slots])).toEqual([
      [2, 1],
      [-1, 1],
    ]);
  });

  // The same count decides which wildcard worker is next (wire 5): the first by name gets all circuits.
  test("the used ones, so that a wildcard worker with fewer is next", async () => {
    const wildcard = { frontend_mode: "wildcard", wildcard_domain: ".more.example", port_range: null };
    const more = { authority: "c-wild", accepted_traffics: ["inference"], ...wildcard };
    const other = await startFakeWorker(lone.manager, lone.redis.port, more);
    const workers = [await stage.endpoint(), await stage.endpoint()].map(({ circuit }) => circuit.worker);
    await lone.manager.api("DELETE", `/api/worker/${other.id}`);
    await other.stop();
    expect(workers).toEqual([wild.id, other.id]);
  });
});

test("a worker that says twice that it leaves is announced as gone once", async () => {
  for (const _time of [1, 2]) expect((await lone.manager.api("DELETE", `/api/worker/${port.id}`)).status).toBe(200);
  await lone.manager.api("DELETE", `/api/worker/${wild.id}`);
  const reader = new Redis(lone.redis.port, "127.0.0.1", { db: EVENTS_DB });
  const announced = async () => (await reader.xrange(STREAM, "-", "+")).map(([, fields]) => fields.join(" "));
  // In the order in which they left.
  await until(async () => (await announced()).some((one) => one.includes("b-wild")));
  const ofPort = (await announced()).filter((one) => one.includes("a-port"));
  reader.disconnect();
  expect(ofPort).toHaveLength(1);
});
