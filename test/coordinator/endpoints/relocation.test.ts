/** An endpoint whose worker is away, or has changed: it keeps its URL for a while, and is moved when it is asked for later. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { FakeWorker } from "../../support/fake-worker.ts";
import { refusal, replay, routeTo, service, startStage, type Registration, type Stage } from "../../support/model-service.ts"; // prettier-ignore
import { until } from "../../support/until.ts";
import { owed } from "../../support/owed.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";
const WILD = { frontend_mode: "wildcard", wildcard_domain: ".apps.example", port_range: null };
const RELOCATION = 300;

let stage: Stage;

beforeEach(async () => {
  stage = await startStage({ coordinator: { circuit_ack_timeout: 1, endpoint_relocation_timeout: RELOCATION } });
});

afterEach(() => stage.stop());

const worker = (authority: string, over: Omit<Registration, "authority"> = {}) =>
  stage.worker({ authority, hostname: `${authority}.example`, ...over });

const urlOf = async (body = service(), endpoint_id = ID) => (await stage.client.syncEndpoint({ endpoint_id, body })).endpoint; // prettier-ignore

/** A worker's last node says goodbye. */
const terminate = ({ id }: FakeWorker) => stage.client.deregisterWorker({ worker_id: id, query: { node_id: "n1" } });

const beat = ({ id }: FakeWorker) => stage.client.heartbeat({ worker_id: id, body: { node_id: "n1" } });

/** It is called LOST by the coordinator's next look. */
async function lose({ id }: FakeWorker, seconds = 31): Promise<void> {
  stage.later(seconds);
  await until(async () => (await stage.client.getWorker({ worker_id: id })).status === "LOST");
}

const route = async (at: number) =>
  stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ID, routes: [routeTo(at)] }] } });

describe("while its worker is away for a short time", () => {
  test.each([
    ["lost", lose],
    ["terminated", terminate],
  ])("because it is %s, an endpoint keeps its URL, and the call succeeds at once", async (_what, end) => {
    const home = await worker("home");
    const url = await urlOf();
    await end(home);
    await worker("away");
    const circuit = await stage.circuitOf(ID);
    const start = performance.now();
    expect(await urlOf()).toBe(url);
    expect(await stage.circuitOf(ID)).toEqual(circuit);
    // A change is for its return, and nobody is waited for.
    expect(await urlOf(service({ open_to_public: true }))).toBe(url);
    await route(1);
    expect(performance.now() - start).toBeLessThan(owed(900));
    expect(await stage.circuitOf(ID)).toMatchObject({ worker: home.id, open_to_public: true, session_ids: [routeTo(1).session_id] }); // prettier-ignore
  });

  test("a new endpoint goes to a living one, and is refused without one", async () => {
    await terminate(await worker("home"));
    expect((await refusal(urlOf()))[1]).toBe("appproxy/worker-not-available");
    await worker("away");
    expect(await urlOf()).toBe("http://away.example:30000/");
  });

  test("it serves again at its return, however late, under the same URL", async () => {
    const home = await worker("home");
    const url = await urlOf();
    await terminate(home);
    stage.later(RELOCATION + 1);
    await worker("away");
    await worker("home");
    expect(await urlOf()).toBe(url);
    expect(await stage.circuitOf(ID)).toMatchObject({ worker: home.id, revision: 1 });
  });
});

describe("after a long night without a coordinator", () => {
  test("an endpoint is not moved before its worker could be heard of again", async () => {
    const home = await worker("home");
    await worker("away");
    const url = await urlOf();
    stage.later(RELOCATION * 10);
    const morning = await stage.another();
    const sync = async () => (await morning.syncEndpoint({ endpoint_id: ID, body: service() })).endpoint;
    expect(await sync()).toBe(url);
    await beat(home);
    expect([await sync(), (await morning.getWorker({ worker_id: home.id })).status]).toEqual([url, "ALIVE"]);
  });
});

describe("when its worker has been away for long", () => {
  test.each([
    ["lost", lose],
    ["terminated", terminate],
  ])("because it was %s, an endpoint is moved with its routes, and both workers are told", async (_what, end) => {
    const home = await worker("home");
    const url = await urlOf(service({}, { runtime_variant: "vllm" }));
    await route(1);
    const before = await stage.circuitOf(ID);
    await end(home);
    stage.later(RELOCATION + 1);
    const away = await worker("away");
    const moved = await urlOf(service({ open_to_public: true }, { existing_url: url }));
    expect(moved).toBe("http://away.example:30000/");
    const circuit = await stage.circuitOf(ID);
    expect(circuit).toEqual({
      ...before,
      worker: away.id,
      open_to_public: true,
      revision: 1,
      updated_at: circuit?.updated_at,
    } as never);
    await until(() => home.events.some(({ name }) => name === "appproxy_circuit_removed_event"));
    expect([replay(home.events, "home"), replay(away.events, "away")]).toEqual([new Map(), new Map([[circuit?.id ?? "", circuit as never]])]); // prettier-ignore
    expect((await stage.client.getWorker({ worker_id: home.id })).occupied_slots).toBe(0);
    expect(await urlOf(service({ open_to_public: true }))).toBe(moved);
  });

  test("it keeps its name under a wildcard domain, also the variant that it had to take", async () => {
    const home = await worker("home", WILD);
    await urlOf(service(), crypto.randomUUID());
    const url = await urlOf();
    expect(url).toMatch(/^http:\/\/llama-[0-9a-f]{8}\.apps\.example\/$/);
    await terminate(home);
    stage.later(RELOCATION + 1);
    await worker("away", { ...WILD, wildcard_domain: ".other.example" });
    const moved = url.replace("apps", "other");
    expect(await urlOf()).toBe(moved);
  });

  test("it keeps its whole URL where another worker has the same domain", async () => {
    const home = await worker("home", WILD);
    const url = await urlOf();
    await terminate(home);
    stage.later(RELOCATION + 1);
    const away = await worker("away", WILD);
    expect(await urlOf(service({}, { existing_url: url }))).toBe(url);
    expect((await stage.circuitOf(ID))?.worker).toBe(away.id);
  });

  test("it takes a variant of its name where that is taken", async () => {
    const home = await worker("home", WILD);
    await urlOf();
    await terminate(home);
    const away = await worker("away", { ...WILD, wildcard_domain: ".other.example" });
    await urlOf(service(), crypto.randomUUID());
    stage.later(RELOCATION + 1);
    await beat(away);
    expect(await urlOf()).toMatch(/^http:\/\/llama-[0-9a-f]{8}\.other\.example\/$/);
  });

  test("it goes from a port to a name of its own, and back", async () => {
    const home = await worker("home");
    await urlOf();
    await terminate(home);
    stage.later(RELOCATION + 1);
    const wild = await worker("wild", WILD);
    expect(await urlOf()).toBe("http://llama.apps.example/");
    await terminate(wild);
    stage.later(RELOCATION + 1);
    await worker("away");
    expect(await urlOf()).toBe("http://away.example:30000/");
  });

  test.each([
    ["nobody else is there", []],
    ["nobody else takes model services", [{ accepted_traffics: ["interactive"] }]],
  ])("but %s, it keeps its URL, and the call succeeds", async (_what, others) => {
    const home = await worker("home");
    const url = await urlOf();
    await terminate(home);
    stage.later(RELOCATION + 1);
    for (const one of others) await worker("away", one);
    expect(await urlOf()).toBe(url);
    expect(await stage.circuitOf(ID)).toMatchObject({ worker: home.id, revision: 1 });
  });

  test("each of many is moved in one call, and each worker is told once", async () => {
    const home = await worker("home");
    const ids = Array.from({ length: 5 }, () => crypto.randomUUID() as string);
    const endpoints = ids.map((deployment_id) => ({ deployment_id, ...service() }));
    await stage.client.syncEndpoints({ body: { endpoints } });
    await terminate(home);
    stage.later(RELOCATION + 1);
    const away = await worker("away");
    const moved = await stage.client.syncEndpoints({ body: { endpoints } });
    expect(moved.endpoints.map(({ url }) => url)).toEqual(ids.map((_, at) => `http://away.example:${30_000 + at}/`));
    await until(() => home.events.some(({ payload }) => payload.revision === 10));
    expect(replay(home.events, "home").size).toBe(0);
    expect(replay(away.events, "away").size).toBe(5);
  });

  test("it keeps its routes though the new worker does not acknowledge it", async () => {
    const home = await worker("home");
    await urlOf();
    await route(1);
    await terminate(home);
    stage.later(RELOCATION + 1);
    const away = await worker("away");
    away.answers = false;
    expect((await refusal(urlOf()))[2]).toBe("E10001: Proxy worker not responding");
    away.answers = true;
    await urlOf();
    expect((await stage.circuitOf(ID))?.session_ids).toEqual([routeTo(1).session_id]);
  });

  test.each([
    ["the port that it wants is taken there", service({ port: 30_000 })],
    ["the URL that it had is none", service({}, { existing_url: "llama" })],
  ])("it is moved though %s", async (_what, body) => {
    const home = await worker("home");
    await urlOf();
    await terminate(home);
    stage.later(RELOCATION + 1);
    await worker("away");
    await urlOf(service(), crypto.randomUUID());
    expect(await urlOf(body)).toBe("http://away.example:30001/");
  });
});

describe("a worker that comes back", () => {
  test("with another range gets a new slot for it at once, with its routes", async () => {
    const home = await worker("home");
    await urlOf();
    await route(1);
    await terminate(home);
    await worker("home", { port_range: [31_000, 31_009] });
    expect(await urlOf()).toBe("http://home.example:31000/");
    expect(await stage.circuitOf(ID)).toMatchObject({ worker: home.id, session_ids: [routeTo(1).session_id] });
    expect(await urlOf()).toBe("http://home.example:31000/");
  });

  test("with a larger range, or another hostname, leaves it where it is", async () => {
    await worker("home");
    await urlOf(service({ port: 30_004 }));
    await worker("home", { port_range: [30_000, 30_099], hostname: "new.example" });
    expect(await urlOf()).toBe("http://new.example:30004/");
    expect((await stage.circuitOf(ID))?.revision).toBe(1);
  });

  test("with a range that is full fails it, tells its URL, and loses nothing", async () => {
    await worker("home");
    const old = await urlOf();
    await route(1);
    const other = crypto.randomUUID();
    await worker("home", { port_range: [31_000, 31_000] });
    expect(await urlOf(service(), other)).toBe("http://home.example:31000/");
    const error = "Its worker does not have its slot any more, and no other can take it";
    expect((await refusal(urlOf())).slice(1)).toEqual(["appproxy/worker-not-available", error]);
    const entry = { deployment_id: ID, ...service() };
    const { endpoints } = await stage.client.syncEndpoints({ body: { endpoints: [entry] } });
    expect(endpoints).toMatchObject([{ url: old, success: false, error }]);
    expect((await stage.circuitOf(ID))?.session_ids).toEqual([routeTo(1).session_id]);
    await stage.client.deleteEndpoint({ endpoint_id: other });
    expect(await urlOf()).toBe("http://home.example:31000/");
  });

  test("with a wildcard domain gives it a name", async () => {
    await worker("home");
    await urlOf();
    await worker("home", WILD);
    expect(await urlOf()).toBe("http://llama.apps.example/");
  });
});
