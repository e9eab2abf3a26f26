/** Figures for Prometheus, the coordinator's and the worker's: who may read them, their form, and that they tell what happens. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { API_SECRET } from "../../support/manager.ts";
import { startApp, type App } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { parseFigures } from "../calls/exposition.ts";
import { expectProblem } from "../calls/plan.ts";
import { Stage } from "../calls/stage.ts";
import { atEnd } from "../../support/at-end.ts";

let redis: RedisServer;
let app: App;
let cluster: Cluster;
let stage: Stage;
let sources: Record<"coordinator" | "worker", string>;

beforeAll(async () => {
  redis = await startRedis();
  app = startApp();
  cluster = await startCluster({ redisPort: redis.port, ports: 20, coordinator: { max_body_bytes: 2048, worker_heartbeat_timeout: 2 }, worker: { heartbeat_period: 0.2 } }); // prettier-ignore
  stage = new Stage(cluster.manager);
  sources = { coordinator: cluster.coordinator.baseUrl, worker: cluster.workerApi };
  await until(async () => (await stage.send("isReady", {})).status === 200);
});
afterEach(() => stage.clear());
afterAll(async () => {
  await cluster.stop();
  await redis.stop();
  await app.stop();
});

/** The figures of a service now, by their name and labels as they stand in the text. */
async function figures(of: keyof typeof sources): Promise<Map<string, number>> {
  return parseFigures(await (await fetch(`${sources[of]}/metrics`)).text());
}

/** What has become more, and by how much, while something was done. */
async function growth(of: keyof typeof sources, metric: string, work: () => Promise<unknown>) {
  const before = await figures(of);
  await work();
  const after = await figures(of);
  const grown = [...after].filter(([name]) => name.startsWith(metric)).map(([name, value]): [string, number] => [name, value - (before.get(name) ?? 0)]); // prettier-ignore
  return Object.fromEntries(grown.filter(([, more]) => more !== 0));
}

describe.each(["coordinator", "worker"] as const)("the %s's figures", (of) => {
  test("have the form that Prometheus reads, line by line", async () => {
    const answer = await fetch(`${sources[of]}/metrics`);
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await answer.text();
    expect(text).toEndWith("\n");
    expect(parseFigures(text).size).toBeGreaterThan(10);
  });

  test("tell of the process itself", async () => {
    const known = await figures(of);
    const at = (name: string) => known.get(name) ?? Number.NaN;
    expect(at("process_start_time_seconds")).toBeWithin(Date.now() / 1000 - 600, Date.now() / 1000 + 1);
    expect(at("process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    expect(at("process_open_fds")).toBeGreaterThan(3);
    expect([...known.keys()].filter((name) => name.startsWith("appproxy_info"))).toEqual([
      expect.stringMatching(new RegExp(`^appproxy_info\\{component="appproxy-${of}",version="[^"]+"\\}$`)) as string,
    ]);
    await until(
      async () => ((await figures(of)).get("process_cpu_seconds_total") ?? 0) > at("process_cpu_seconds_total"),
    );
  });

  test("are for the addresses that may read them, whatever a caller says of itself", async () => {
    const closed = { metric_access_allowed_hosts: ["192.0.2.0/24"] };
    const other = await startCluster({ coordinator: closed, worker: closed });
    atEnd(() => other.stop());
    const url = of === "coordinator" ? other.coordinator.baseUrl : other.workerApi;
    const claims = { "X-Forwarded-For": "192.0.2.1", Forwarded: "for=192.0.2.1", "X-Real-IP": "192.0.2.1" };
    const answer = await fetch(`${url}/metrics`, { headers: { Accept: "application/json", "X-BackendAI-Token": API_SECRET, ...claims } }); // prettier-ignore
    const { status, headers } = answer;
    const body = (await answer.json()) as Record<string, unknown>;
    expectProblem({ status, headers, body }, "generic-forbidden", "metric_access_allowed_hosts does not name this address"); // prettier-ignore
  });
});

test.each(["coordinator", "worker"] as const)("are this machine's to read over IPv6 too: %s", async (of) => {
  const [coordinator, worker] = [{ bind_addr: "[::1]:0" }, { api_bind_addr: "[::1]:0" }];
  const other = await startCluster(of === "coordinator" ? { coordinator } : { worker });
  atEnd(() => other.stop());
  const { port } = new URL(of === "coordinator" ? other.coordinator.baseUrl : other.workerApi);
  expect((await fetch(`http://[::1]:${port}/metrics`)).status).toBe(200);
});

describe("the coordinator tells", () => {
  const CALLS = "appproxy_coordinator_calls_total";
  const call = (method: string, route: string, status: number) =>
    `${CALLS}{method="${method}",route="${route}",status="${status}"}`;

  /** Without the calls of workers, and of whoever reads the figures. */
  const grown = async (work: () => Promise<unknown>) =>
    Object.fromEntries(
      Object.entries(await growth("coordinator", CALLS, work)).filter(
        ([name]) => !/route="\/(api\/worker.*|metrics)"/.test(name),
      ),
    );

  test("of calls by method, route and status, refused ones too, and of no id", async () => {
    const { id } = await stage.circuit();
    const { manager } = stage;
    const seen = await grown(async () => {
      await stage.send("getCircuit", { circuit_id: id });
      await stage.send("getCircuit", { circuit_id: id });
      await stage.send("getCircuit", { circuit_id: crypto.randomUUID() });
      await stage.send("getCircuit", { circuit_id: "me" });
      await stage.send("getCircuit", { circuit_id: id }, {});
      await manager.call("POST", "/v2/conf", "{");
      await manager.call("POST", "/v2/conf", "x".repeat(3000));
      await manager.call("DELETE", "/v2/conf");
      await stage.send("syncEndpoint", { endpoint_id: id, body: {} });
    });
    expect(seen).toEqual({
      [call("GET", "/api/circuit/:circuit_id", 200)]: 2,
      [call("GET", "/api/circuit/:circuit_id", 404)]: 1,
      [call("GET", "/api/circuit/:circuit_id", 400)]: 1,
      [call("GET", "/api/circuit/:circuit_id", 401)]: 1,
      [call("POST", "/v2/conf", 400)]: 1,
      [call("POST", "/v2/conf", 413)]: 1,
      [call("DELETE", "", 405)]: 1,
      [call("POST", "/v2/endpoints/:endpoint_id", 400)]: 1,
    });
  });

  test("of unknown paths as of one, however many there are", async () => {
    const paths = Array.from({ length: 64 }, () => `/nothing/${crypto.randomUUID()}`);
    const seen = await grown(() => Promise.all(paths.map((path) => stage.manager.call("GET", path))));
    expect(seen).toEqual({ [call("GET", "", 404)]: 64 });
  });

  test("of a redirect, and of a creation that found no worker", async () => {
    const query = { ...(await stage.token()), app: "a", protocol: "http" };
    const seen = await grown(async () => {
      const { status } = await stage.manager.call("GET", `/v2/proxy/auth?${new URLSearchParams(query).toString()}`);
      const missing = await stage.send("openByQuery", { query: { ...query, protocol: "vnc" } });
      expect([status, missing.status]).toEqual([302, 503]);
    });
    expect(seen).toEqual({ [call("GET", "/v2/proxy/auth", 302)]: 1, [call("GET", "/v2/proxy/auth", 503)]: 1 });
  });

  test("of a call by X-Method-Override once, as what it means", async () => {
    const { id } = await stage.circuit();
    const headers = { "X-Method-Override": "DELETE" };
    const seen = await grown(() => stage.manager.api("POST", `/api/circuit/${id}`, undefined, headers));
    expect(seen).toEqual({ [call("DELETE", "/api/circuit/:circuit_id", 200)]: 1 });
  });

  test("of circuits of each kind, which become fewer too", async () => {
    const CIRCUITS = "appproxy_coordinator_circuits";
    const [app, service] = [`${CIRCUITS}{app_mode="interactive"}`, `${CIRCUITS}{app_mode="inference"}`];
    const made = () => Promise.all([stage.circuit(), stage.circuit(), stage.endpoint()]);
    expect(await growth("coordinator", CIRCUITS, made)).toEqual({ [app]: 2, [service]: 1 });
    expect(await growth("coordinator", CIRCUITS, () => stage.clear())).toEqual({ [app]: -2, [service]: -1 });
    const none = await figures("coordinator");
    expect([none.get(app), none.get(service)]).toEqual([0, 0]);
  });

  test("of workers that live, are lost and have left", async () => {
    const WORKERS = "appproxy_coordinator_workers";
    const status = (name: string) => `${WORKERS}{status="${name}"}`;
    let id = "";
    const register = async () => ({ id } = await stage.worker());
    expect(await growth("coordinator", WORKERS, register)).toEqual({ [status("ALIVE")]: 1 });
    const leave = () => stage.client.deregisterWorker({ worker_id: id, query: { node_id: "node-1" } });
    expect(await growth("coordinator", WORKERS, leave)).toEqual({ [status("ALIVE")]: -1, [status("TERMINATED")]: 1 });
    const before = (await figures("coordinator")).get(status("LOST")) ?? 0;
    await stage.worker();
    await until(async () => ((await figures("coordinator")).get(status("LOST")) ?? 0) > before);
  });
});

describe("the coordinator tells how far its workers are", () => {
  const node = (state: string) => `appproxy_coordinator_nodes{state="${state}"}`;
  const of = (figure: string, worker = "worker-1") => `appproxy_coordinator_worker_${figure}{worker="${worker}"}`;
  const checks = async () => (await stage.send("health", {})).body["checks"] as Record<string, string>;

  test("in its figures and its health: equal, behind, different, unknown", async () => {
    await stage.circuit();
    await until(async () => (await figures("coordinator")).get(node("equal")) === 1);
    const known = await figures("coordinator");
    expect(known.get(of("revision"))).toBeGreaterThan(0);
    expect(known.get(of("lag"))).toBe(0);
    expect(known.get(of("silent_seconds"))).toBeWithin(-0.1, 2);
    // A coordinator takes up periodic work two seconds after its start.
    await until(async () => (await checks())["periodic_work"] === "here");
    expect(await checks()).toMatchObject({
      nodes: "1 equal, 0 behind, 0 different, 0 unknown",
      largest_lag: "0",
      workers: expect.stringMatching(/^1 ALIVE, \d+ LOST, \d+ TERMINATED$/) as string,
      periodic_work: "here",
      use_of_circuits: "known",
      unpublished_changes: "0",
    });
    const { id, digest } = await stage.worker();
    const says = async (body: object) => {
      await stage.client.heartbeat({ worker_id: id, body: { node_id: "node-1", ...body } });
      return (await checks())["nodes"];
    };
    expect(await says({})).toBe("1 equal, 0 behind, 0 different, 1 unknown");
    expect(await says({ revision: 0, digest })).toBe("2 equal, 0 behind, 0 different, 0 unknown");
    expect(await says({ revision: 0, digest: digest + 1 })).toBe("1 equal, 0 behind, 1 different, 0 unknown");
  });
});

describe("the worker tells", () => {
  const at = async (name: string) => (await figures("worker")).get(`appproxy_worker_${name}`);

  test("of the requests that it has let in, not of those that it refused", async () => {
    const { origin, cookie } = await cluster.manager.enter({ kernel_port: app.port });
    const ask = (headers: Record<string, string>) => fetch(origin, { headers });
    const REQUESTS = "appproxy_worker_requests_total";
    const five = () => Promise.all(Array.from({ length: 5 }, () => ask({ cookie })));
    expect(await growth("worker", REQUESTS, five)).toEqual({ [REQUESTS]: 5 });
    expect(await growth("worker", REQUESTS, () => ask({ cookie: "a=1" }))).toEqual({});
  });

  test("of circuits of each kind, and the revision of what it knows", async () => {
    await stage.circuit();
    await stage.endpoint();
    const { workers } = await stage.state();
    const known = workers.find(({ authority }) => authority === "worker-1")?.revision;
    await until(async () => (await at("revision")) === known);
    expect([await at('circuits{app_mode="interactive"}'), await at('circuits{app_mode="inference"}')]).toEqual([1, 1]);
    await stage.clear();
    await until(async () => ((await at('circuits{app_mode="interactive"}')) ?? 0) === 0);
  });

  test("how far it is from the coordinator, and that users' activity is written", async () => {
    await stage.circuit();
    await until(async () => (await at("lag")) === 0 && ((await at("seconds_since_sync")) ?? 9) < 3);
    expect(await at("usage_delayed")).toBe(0);
    const health = (await (await fetch(`${sources.worker}/health`)).json()) as Record<string, unknown>;
    expect(health).toMatchObject({ status: "ok", lag: 0, digest: expect.any(Number) as number });
    expect(health["seconds_since_sync"]).toBeNumber();
  });

  test("of what is open to apps now", async () => {
    const held = Promise.withResolvers<void>();
    const fetchLate = () => held.promise.then(() => new Response("at last"));
    const slow = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: fetchLate });
    atEnd(() => slow.stop(true));
    const { origin, cookie } = await cluster.manager.enter({ kernel_port: slow.port ?? 0 });
    const answers = Array.from({ length: 3 }, () => fetch(origin, { headers: { cookie } }).then((one) => one.text()));
    await until(async () => (await at("open")) === 3);
    held.resolve();
    expect(new Set(await Promise.all(answers))).toEqual(new Set(["at last"]));
    await until(async () => (await at("open")) === 0);
  });

  test("of the kernels of model services: well, unwell, not known", async () => {
    const ROUTES = "inference_routes";
    const counts = async () =>
      Promise.all(["healthy", "unhealthy", "unknown"].map((status) => at(`${ROUTES}{status="${status}"}`)));
    expect(await counts()).toEqual([0, 0, 0]);
    const { endpoint_id: id } = await stage.endpoint();
    const SESSION = crypto.randomUUID();
    const kernel = (kernel_port: number) => ({ kernel_host: "127.0.0.1", kernel_port, route_id: crypto.randomUUID(), session_id: SESSION }); // prettier-ignore
    const routes = [kernel(app.port), kernel(app.port), kernel(1)];
    await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: id, routes }] } });
    await until(async () => (await counts()).join() === "2,0,1" || (await counts()).join() === "0,0,3");
    const health_check = { interval: 0.05, max_retries: 1, initial_delay: 0, path: "/ok" };
    await stage.client.setHealthCheck({ endpoint_id: id, body: { health_check } });
    await until(async () => (await counts()).join() === "2,1,0");
    // The coordinator hears the same with the next heartbeat.
    await until(async () => (await stage.client.healthSummary({})).summary.unhealthy_routes === 1);
    expect((await stage.client.healthSummary({})).summary.healthy_routes).toBe(2);
  });
});

test("both tell when Redis is away, and of what waits for it", async () => {
  const connected = async () => {
    const [one, other] = [await figures("coordinator"), await figures("worker")];
    return [
      one.get("appproxy_coordinator_events_connected"),
      one.get("appproxy_coordinator_live_data_connected"),
      other.get("appproxy_worker_events_connected"),
      other.get("appproxy_worker_coordinator_reachable"),
    ].join();
  };
  const waiting = async () => (await figures("coordinator")).get("appproxy_coordinator_unpublished_changes");
  const { id } = await stage.circuit();
  await until(async () => (await connected()) === "1,1,1,1" && (await waiting()) === 0);
  await redis.stop();
  await until(async () => (await connected()) === "0,0,0,1");
  await stage.client.deleteCircuit({ circuit_id: id });
  expect(await waiting()).toBe(1);
  await redis.start();
  await until(async () => (await connected()) === "1,1,1,1" && (await waiting()) === 0);
});
