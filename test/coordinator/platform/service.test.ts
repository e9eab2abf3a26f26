/** Sessions end: what the platform says on its channel removes their circuits and tokens, and nothing else. Real Redis. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { FakeWorker } from "../../support/fake-worker.ts";
import { newKernel } from "../../support/manager.ts";
import { replay, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { message, startPlatform, type Platform } from "../../support/platform.ts";
import { startRedis } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { owed } from "../../support/owed.ts";

const ENDPOINT = "0e000000-0000-4000-8000-00000000000a";
const ONE = "5e000000-0000-4000-8000-00000000010a";
const TWO = "5e000000-0000-4000-8000-00000000010b";

let stage: Stage;
let platform: Platform;
let worker: FakeWorker;

async function begin(settings: Parameters<typeof startStage>[0] = {}): Promise<void> {
  stage = await startStage(settings);
  platform = startPlatform(settings.coreRedisPort ?? stage.redis.port);
  stage.defer(() => platform.stop());
  worker = await stage.worker({ authority: "w" });
}

beforeEach(() => begin());
afterEach(() => stage.stop());

interface Opened {
  token: string;
  session_id: string;
  status: number;
}

async function open(session_id: string, app = "jupyter"): Promise<Opened> {
  const { token } = await stage.manager.conf({ ...newKernel(), session_id });
  return { token, session_id, status: (await stage.manager.auth(token, session_id, { app })).status };
}

const circuits = async () => (await stage.client.listCircuits({ query: { limit: 1000 } })).circuits;
const apps = async () => (await circuits()).map(({ app, session_ids: ids }) => `${app} ${ids.join()}`);
const status = async ({ token, session_id }: Opened, app = "jupyter") => (await stage.manager.auth(token, session_id, { app })).status; // prettier-ignore
const removed = () => stage.told.filter(({ name }) => name === "appproxy_circuit_removed_event");
/** Whatever was said before is done when this is. */
async function settled(): Promise<void> {
  const session = crypto.randomUUID();
  const { token } = await stage.manager.conf({ ...newKernel(), session_id: session });
  await platform.sessionTerminated(session);
  const close = `/v2/proxy/${token}/${session}/delete?app=none`;
  await until(async () => (await stage.manager.call("GET", close)).status === 404);
}

describe("a session that is over", () => {
  test.each([
    ["session_terminated", () => platform.sessionTerminated(ONE)],
    ["session_terminated in upper case", () => platform.sessionTerminated(ONE.toUpperCase())],
    ["scheduling: TERMINATED", () => platform.scheduling(ONE, "TERMINATED")],
    ["scheduling: cancelled", () => platform.scheduling(ONE, "cancelled")],
  ])("by %s loses its circuits and its tokens within a second, and others keep theirs", async (_what, say) => {
    const mine = await open(ONE);
    await open(ONE, "terminal");
    const other = await open(TWO);
    const since = performance.now();
    await say();
    await until(async () => (await circuits()).length === 1);
    expect(performance.now() - since).toBeLessThan(owed(1000));
    expect(await apps()).toEqual([`jupyter ${TWO}`]);
    expect([await status(mine), await status(other)]).toEqual([404, 200]);
    await until(() => removed().length > 0);
    expect(removed().map(({ payload }) => ("circuits" in payload ? payload.circuits.length : 0))).toEqual([2]);
    expect([...replay(worker.events, "w").values()].map(({ session_ids: ids }) => ids)).toEqual([[TWO]]);
  });

  test("takes its kernels from model services, which stay", async () => {
    await stage.client.syncEndpoint({ endpoint_id: ENDPOINT, body: service() });
    const routes = [routeTo(1, { session_id: ONE }), routeTo(2), routeTo(3, { session_id: ONE })];
    await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ENDPOINT, routes }] } });
    await platform.sessionTerminated(ONE);
    await until(async () => (await stage.circuitOf(ENDPOINT))?.route_info.length === 1);
    expect((await stage.circuitOf(ENDPOINT))?.session_ids).toEqual([routeTo(2).session_id]);
    await platform.sessionTerminated(routeTo(2).session_id);
    await until(async () => (await stage.circuitOf(ENDPOINT))?.route_info.length === 0);
    expect(removed()).toEqual([]);
    await until(() => [...replay(worker.events, "w").values()].every(({ route_info: left }) => left.length === 0));
  });

  test("with circuits at two workers loses both", async () => {
    const other = await stage.worker({
      authority: "tcp",
      protocol: "tcp",
      node_id: "n2",
      port_range: [31_000, 31_003],
    });
    const { token } = await open(ONE);
    await stage.manager.auth(token, ONE, { app: "ssh", protocol: "tcp" });
    await until(() => replay(other.events, "tcp").size === 1);
    await platform.sessionTerminated(ONE);
    await until(() => replay(other.events, "tcp").size + replay(worker.events, "w").size === 0);
    expect(await circuits()).toEqual([]);
  });

  test("that is told of again and again changes no more", async () => {
    await open(ONE);
    await Promise.all(Array.from({ length: 50 }, () => platform.sessionTerminated(ONE)));
    await settled();
    await Promise.all(Array.from({ length: 50 }, () => platform.sessionTerminated(ONE)));
    await settled();
    await until(() => removed().length > 0);
    expect([await circuits(), removed().length]).toEqual([[], 1]);
  });

  test("while its app is being opened is not opened", async () => {
    worker.answers = false;
    const opening = open(ONE);
    await until(() => worker.events.length > 0);
    await platform.sessionTerminated(ONE);
    expect((await opening).status).toBe(404);
    expect(await circuits()).toEqual([]);
    await until(() => stage.told.length === 2);
  });

  test("is harmless to hear at several coordinators of one database", async () => {
    await stage.another();
    for (const session of [ONE, TWO]) await open(session);
    await platform.sessionTerminated(ONE);
    await until(async () => (await circuits()).length === 1);
    await settled();
    await until(() => removed().length > 0);
    // Each may publish it; it is one change.
    expect([await apps(), new Set(removed().map(({ payload }) => payload.revision)).size]).toEqual([[`jupyter ${TWO}`], 1]); // prettier-ignore
  });
});

describe("a message that", () => {
  test.each([
    ["is no JSON", "}{"],
    ["is of another kind", message("session_started", { session_id: ONE })],
    ["says that the session runs", message("scheduling", { session_id: ONE, status_transition: "RUNNING" })],
    ["names no UUID", message("session_terminated", { session_id: "%" })],
    ["is megabytes long", message("session_terminated", { session_id: ONE, reason: "x".repeat(3_000_000) })],
    ["has its payload as an object", JSON.stringify({ name: "session_terminated", payload: { session_id: ONE } })],
    ["says that a kernel of a session without circuits is gone", message("kernel_terminated", { session_id: TWO })],
  ])("%s changes nothing, and the next one is heard", async (_what, text) => {
    await open(ONE);
    for (let at = 0; at < 20; at++) expect(await platform.say(text)).toBe(1);
    await settled();
    expect(await apps()).toEqual([`jupyter ${ONE}`]);
    expect(stage.told.length).toBe(1);
  });
});

describe("the platform's Redis", () => {
  const health = async () => (await stage.manager.call("GET", "/health")).body;
  const said = async () => (((await health())["checks"] ?? {}) as Record<string, string>)["platform_events"];
  const figure = async () =>
    /^appproxy_coordinator_platform_events_connected (\d)/m.exec(
      await (await fetch(`${stage.manager.baseUrl}/metrics`)).text(),
    )?.[1];

  test("may be another one: its state is told, and it may be away without harm", async () => {
    await stage.stop();
    const core = await startRedis();
    await begin({ coreRedisPort: core.port });
    stage.defer(() => core.stop());
    expect([await said(), await figure()]).toEqual(["connected", "1"]);
    await open(ONE);
    // On our own Redis it is not listened to.
    const elsewhere = startPlatform(stage.redis.port);
    stage.defer(() => elsewhere.stop());
    expect(await elsewhere.sessionTerminated(ONE)).toBe(0);
    await core.stop();
    await until(async () => (await said()) === "away");
    await until(async () => (await figure()) === "0");
    expect((await health())["status"]).toBe("ok");
    expect((await stage.manager.call("GET", "/health/readyz")).status).toBe(200);
    expect((await open(TWO)).status).toBe(200);
    await core.start();
    await until(async () => (await said()) === "connected");
    await until(async () => (await platform.sessionTerminated(ONE).catch(() => 0)) === 1);
    await until(async () => (await circuits()).length === 1);
    expect(await apps()).toEqual([`jupyter ${TWO}`]);
  });
});

describe("a kernel that is gone", () => {
  const probes = () => stage.told.filter(({ name }) => name === "appproxy_circuit_probe_event");

  test("is asked for at the session's workers, with the session's routes only", async () => {
    await stage.client.syncEndpoint({ endpoint_id: ENDPOINT, body: service() });
    const routes = [routeTo(1, { session_id: ONE }), routeTo(2)];
    await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ENDPOINT, routes }] } });
    await open(ONE);
    await open(TWO);
    await platform.kernelTerminated(ONE);
    await until(() => probes().length > 0);
    const [probe] = probes();
    const asked = probe !== undefined && "circuits" in probe.payload ? probe.payload.circuits : [];
    expect(asked.map(({ app, route_info: all }) => [app, all.map(({ session_id: id }) => id)]).toSorted()).toEqual([
      ["jupyter", [ONE]],
      ["llama", [ONE]],
    ]);
    expect([probes().length, (await circuits()).length, probe?.payload.revision]).toEqual([1, 3, undefined]);
  });

  test("is not asked for at workers of the original", async () => {
    const old = await stage.worker({
      authority: "old",
      protocol: "tcp",
      node_id: undefined,
      port_range: [31_000, 31_003],
    });
    const { token } = await open(ONE);
    await stage.manager.auth(token, ONE, { app: "ssh", protocol: "tcp" });
    await platform.kernelTerminated(ONE);
    await until(() => probes().length > 0);
    await settled();
    expect(probes().map(({ payload }) => payload.target_worker_authority)).toEqual(["w"]);
    expect(old.events.map(({ name }) => name)).not.toContain("appproxy_circuit_probe_event");
  });

  test("that refuses ends an app's circuit, unless it has changed since", async () => {
    await open(ONE);
    const [{ id, revision = 0, route_info: routes } = { id: "", route_info: [] }] = await circuits();
    const tell = (at: number) => stage.client.reportRefused({ circuit_id: id, body: { revision: at, routes } });
    expect(await tell(revision - 1)).toEqual({ success: true, ended: 0 });
    await open(ONE);
    expect(await tell(revision)).toEqual({ success: true, ended: 0 });
    const [now] = await circuits();
    expect(await tell(now?.revision ?? 0)).toEqual({ success: true, ended: 0 });
    expect(await stage.client.reportRefused({ circuit_id: id, body: { revision: now?.revision ?? 0, routes: now?.route_info ?? [] } })).toEqual({ success: true, ended: 1 }); // prettier-ignore
    expect(await circuits()).toEqual([]);
  });

  test("that refuses is taken from a model service, whatever else has changed of it", async () => {
    await stage.client.syncEndpoint({ endpoint_id: ENDPOINT, body: service() });
    const all = [routeTo(1), routeTo(2)];
    await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ENDPOINT, routes: all }] } });
    const { id = "", revision = 0, route_info: routes = [] } = (await stage.circuitOf(ENDPOINT)) ?? {};
    await stage.client.registerRoutes({ body: { endpoints: [{ deployment_id: ENDPOINT, routes: [routeTo(3)] }] } });
    const report = { circuit_id: id, body: { revision, routes: routes.slice(0, 1) } };
    expect([await stage.client.reportRefused(report), await stage.client.reportRefused(report)]).toEqual([
      { success: true, ended: 1 },
      { success: true, ended: 0 },
    ]);
    expect((await stage.circuitOf(ENDPOINT))?.session_ids).toEqual([routeTo(2).session_id, routeTo(3).session_id]);
  });
});
