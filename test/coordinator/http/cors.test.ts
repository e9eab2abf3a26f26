/**
 * CORS: what the coordinator and the worker say to people's browsers may be read by pages of any origin, what they say to programs
 * by none; what apps say is theirs.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { bunEngine } from "../../../worker/engine/bun/engine.ts";
import { startWorker } from "../../../worker/worker.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { API_SECRET, JWT_SECRET } from "../../support/manager.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { freePort } from "../../support/ports.ts";
import { workerToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";
import { documented } from "../calls/document.ts";
import { LIMITS } from "../calls/implied.ts";
import { meanwhile, places, type Started } from "../calls/places.ts";
import type { Place } from "../calls/plan.ts";
import { service, Stage } from "../calls/stage.ts";
import { table } from "../calls/table.ts";

const ORIGIN = { Origin: "https://webui.example" };

/** The two headers of an answer; `null` where one is missing. */
function cors({ headers }: { headers: Headers }): (string | null)[] {
  return [headers.get("access-control-allow-origin"), headers.get("access-control-expose-headers")];
}
const ANY = ["*", "*"];
const NONE = [null, null];

/** Of a documented call, or of a path. */
const readers = (path: string) =>
  /^\/(v2\/proxy\/.+|status|health|health\/livez|health\/readyz)?$/.test(path) ? ANY : NONE;

describe.each(Object.keys(places) as Place[])("a coordinator that is %s", (place) => {
  let started: Started;
  beforeAll(async () => {
    started = await places[place]();
  });
  afterAll(() => started.stop());

  const examples = table.flatMap(({ name, documented, refusals }) =>
    refusals
      // 431 is Bun's own word, before anything of ours has seen the request.
      .filter((one) => one.place === place && one.status !== 431)
      .map((one) => ({ ...one, name, title: documented.name, path: documented.path })),
  );
  // One for each status of a call.
  const each = [...new Map(examples.map((one) => [`${one.title} ${one.status}`, one])).values()];

  test.each(each)("answers $title with $status to those who call it", async ({ name, path, ask, headers, status }) => {
    const [given, theirs] = [await ask(started.stage), await headers?.()];
    const answer = await meanwhile(started, () => started.stage.send(name, given, theirs));
    expect([answer.status, ...cors(answer)]).toEqual([status, ...readers(path)]);
  });
});

describe("a coordinator", () => {
  let started: Started;
  let base: string;
  beforeAll(async () => {
    started = await places.usual();
    base = started.stage.manager.baseUrl;
  });
  afterAll(() => started.stop());

  const all = table.map((call) => ({ ...call, title: call.documented.name }));

  test.each(all)(
    "answers $title to those who call it when all is well",
    async ({ name, plan, documented: { path } }) => {
      const answer = await started.stage.send(name, await plan.good(started.stage));
      expect([answer.status, ...cors(answer)]).toEqual([200, ...readers(path)]);
    },
  );

  const CLOSED = ["/v2/conf", "/v2/conf/", "/v2/endpoints/x", "/api/worker", "/v1/api/slots", "/health/status", "/health/summary", "/health/endpoints", "/health/circuits/x", "/metrics", "/swagger", "/swagger/json"]; // prettier-ignore
  const UNKNOWN = ["/nothing", "/api/nothing/at/all", "/v2/proxy"];

  test("a page of another origin reads nothing of what is for programs", () => {
    expect(CLOSED.filter((path) => readers(path) !== NONE)).toEqual([]);
  });

  test.each([...new Set([...documented.map(({ path }) => path), ...CLOSED, ...UNKNOWN])])(
    "answers a preflight of %s without a secret, and lets pages call what is for them",
    async (path) => {
      const asked = { ...ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" }; // prettier-ignore
      const answer = await fetch(base + path, { method: "OPTIONS", headers: asked });
      expect([answer.status, ...cors(answer)]).toEqual([204, ...readers(path)]);
      const isOpen = readers(path) === ANY;
      expect(answer.headers.get("access-control-allow-methods")).toBe(isOpen ? "GET, POST, OPTIONS" : null);
      const names = isOpen ? "Authorization, Content-Type, X-Backend-Request-ID" : null;
      expect(answer.headers.get("access-control-allow-headers")).toBe(names);
    },
  );

  test.each(CLOSED)("answers %s to a browser without a word of CORS", async (path) => {
    expect(cors(await fetch(base + path, { headers: ORIGIN }))).toEqual(NONE);
  });

  test.each<[string, number, string, RequestInit]>([
    ["an unknown path", 404, "/nothing", {}],
    ["a method that a path has not", 405, "/v2/conf", { method: "DELETE" }],
    ["a method that no path has", 405, "/status", { method: "PURGE" }],
    ["an override by a stranger", 401, "/api/circuits", { method: "POST", headers: { "X-Method-Override": "GET" } }],
    ["an override of no method", 400, "/api/circuits", { method: "POST", headers: { "X-Method-Override": "X", "X-BackendAI-Token": API_SECRET } }],
    ["a page for people", 404, `/v2/proxy/auth?token=${crypto.randomUUID()}&session_id=${crypto.randomUUID()}&app=a&protocol=http`, { headers: { Accept: "text/html" } }],
    ["the API's description", 200, "/swagger/json", {}],
  ])("answers %s with %d", async (_what, status, path, init) => {
    const answer = await fetch(base + path, { redirect: "manual", ...init });
    expect([answer.status, ...cors(answer)]).toEqual([status, ...readers(path.replace(/\?.*/, ""))]);
  }); // prettier-ignore

  test("sends a person on to the worker from any origin", async () => {
    const query = new URLSearchParams({ ...(await started.stage.token()), app: "a", protocol: "http" });
    const answer = await fetch(`${base}/v2/proxy/auth?${query.toString()}`, { redirect: "manual", headers: ORIGIN });
    expect([answer.status, ...cors(answer)]).toEqual([302, ...ANY]);
  });

  test("answers a body of any length to any origin", async () => {
    const body = "x".repeat(3 * LIMITS.max_bulk_body_bytes);
    const answer = await fetch(`${base}/v2/proxy/auth`, { method: "POST", body });
    expect([answer.status, ...cors(answer)]).toEqual([413, ...ANY]);
    expect(((await answer.json()) as { type: string }).type).toEndWith("/payload-too-large");
  });
});

describe("a worker's own API", () => {
  let cluster: Cluster;
  let stage: Stage;
  beforeAll(async () => {
    cluster = await startCluster();
    stage = new Stage(cluster.manager);
  });
  afterAll(() => cluster.stop());

  const token = (circuit: string, age = 0) =>
    mintSetupToken(
      { id: crypto.randomUUID(), circuit, redirect: "" },
      JWT_SECRET,
      crypto.randomUUID(),
      Date.now() - age,
    );

  test.each<[string, number, string, RequestInit]>([
    ["/", 200, "/", {}],
    ["/status", 200, "/status", {}],
    ["/health", 200, "/health", {}],
    ["/health/livez", 200, "/health/livez", {}],
    ["/health/readyz", 200, "/health/readyz", {}],
    ["/health/status", 200, "/health/status", {}],
    ["an unknown path", 404, "/nothing", {}],
    ["an unknown path for a program", 404, "/nothing", { headers: { Accept: "application/json" } }],
    ["another method", 405, "/status", { method: "POST" }],
    ["a HEAD of a link", 204, "/setup?token=x", { method: "HEAD" }],
    ["a preflight", 204, "/status", { method: "OPTIONS" }],
    ["a preflight of an unknown path", 204, "/nothing", { method: "OPTIONS" }],
    ["/setup without a token", 400, "/setup", {}],
    ["/setup with a token that is none", 401, "/setup?token=nonsense", {}],
  ])("answers %s with %d to any origin", async (_what, status, path, init) => {
    const answer = await fetch(cluster.workerApi + path, { redirect: "manual", ...init });
    expect([answer.status, ...cors(answer)]).toEqual([status, ...ANY]);
  });

  test.each<[string, number, RequestInit]>([
    ["its figures", 200, { headers: ORIGIN }],
    ["another method of them", 405, { method: "POST" }],
    ["a preflight of them", 204, { method: "OPTIONS", headers: ORIGIN }],
  ])("answers %s with %d to programs alone", async (_what, status, init) => {
    const answer = await fetch(`${cluster.workerApi}/metrics`, init);
    expect([answer.status, ...cors(answer)]).toEqual([status, ...NONE]);
    expect(answer.headers.get("access-control-allow-methods")).toBeNull();
  });

  test("answers good and bad setup links to any origin", async () => {
    const setup = (jwt: string) => fetch(`${cluster.workerApi}/setup?token=${jwt}`, { redirect: "manual" });
    const { id } = await stage.circuit();
    const { circuit } = await stage.endpoint();
    const good = await token(id);
    for (const [jwt, status] of [
      [good, 302],
      [good, 302],
      [await token(id, 600_000), 401],
      [await token(crypto.randomUUID()), 404],
      [await token(circuit.id), 400],
    ] as const) {
      const answer = await setup(jwt);
      expect([answer.status, ...cors(answer)]).toEqual([status, ...ANY]);
    }
  });

  test("that is not ready says so to any origin, and that it shows its figures to nobody here to programs", async () => {
    const closed = { metric_access_allowed_hosts: ["192.0.2.0/24"] };
    const toml = workerToml(`http://127.0.0.1:${await freePort()}`, await freePort(), 1, { worker: closed });
    const { values: config } = loadWorkerConfig("worker of the test", toml, {});
    const { bus, live, close } = memoryMessengers(silentLog())(createCodec(API_SECRET, false));
    const worker = startWorker({ config, engine: bunEngine, bus, live, log: silentLog(), now: Date.now, newId: () => crypto.randomUUID() }); // prettier-ignore
    for (const [path, status, readers] of [["/health/readyz", 503, ANY], ["/metrics", 403, NONE]] as const) {
      const answer = await fetch(`http://127.0.0.1:${worker.apiPort}${path}`);
      expect([answer.status, ...cors(answer)]).toEqual([status, ...readers]);
    } // prettier-ignore
    await worker.stop();
    await close();
  });
});

describe("a worker on a circuit", () => {
  const DOMAIN = ".apps.example";
  let port: number;
  let cluster: Cluster;
  let stage: Stage;
  let app: Bun.Server<undefined>;

  beforeAll(async () => {
    port = await freePort();
    const wildcard_domain = { domain: DOMAIN, bind_addr: `127.0.0.1:${port}` };
    cluster = await startCluster({ worker: { frontend_mode: "wildcard", wildcard_domain } });
    stage = new Stage(cluster.manager);
    app = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: ({ url }) => new Response(null, { status: Number(new URL(url).searchParams.get("status")), headers: url.includes("open") ? APPS_OWN : {} }) }); // prettier-ignore
  });
  afterAll(async () => {
    await cluster.stop();
    await app.stop(true);
  });

  const APPS_OWN = { "Access-Control-Allow-Origin": "https://own.example", "Access-Control-Expose-Headers": "X-Own" };
  const ask = (label: string, path = "/", headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { redirect: "manual", headers: { Host: label + DOMAIN, ...ORIGIN, ...headers } }); // prettier-ignore

  async function open(wish: Record<string, unknown>, kernel = 1): Promise<string> {
    const { token, sessionId } = await cluster.manager.conf({ kernel_port: kernel });
    const { circuit_id: id } = (await cluster.manager.auth(token, sessionId, wish)).body;
    return (await stage.client.getCircuit({ circuit_id: String(id) })).subdomain ?? "";
  }

  test("answers its refusals to any origin", async () => {
    const id = crypto.randomUUID();
    await stage.client.syncEndpoint({ endpoint_id: id, body: service(id) });
    const model = (await stage.circuitOf(id)).subdomain ?? "";
    const lab = await open({});
    const refusals: [string, Response, number][] = [
      ["no cookie", await ask(lab), 401],
      ["no cookie, for a program", await ask(lab, "/", { Accept: "application/json" }), 401],
      ["a cookie of nobody's", await ask(lab, "/", { Cookie: "appproxy_permit_x=1" }), 401],
      ["a ticket that is none", await ask(lab, "/_appproxy/enter?t=x"), 401],
      ["no token", await ask(model), 401],
      ["another kind of token", await ask(model, "/", { Authorization: "Basic eDp5" }), 401],
      ["a token that is none", await ask(model, "/", { Authorization: "Bearer x" }), 401],
      ["an address that is not allowed", await ask(await open({ allowed_client_ips: "192.0.2.1" })), 403],
      ["an unregistered slot", await ask("nobody"), 404],
      ["an app that does not listen", await ask(await open({ open_to_public: true })), 503],
    ];
    for (const [what, answer, status] of refusals)
      expect([what, answer.status, ...cors(answer)]).toEqual([what, status, ...ANY]);
  });

  test("leaves an app's answers, and its failures, as they are", async () => {
    const label = await open({ open_to_public: true }, app.port);
    for (const status of [200, 304, 401, 404, 500, 503]) {
      const own = await ask(label, `/open?status=${status}`);
      expect([own.status, ...cors(own)]).toEqual([status, ...Object.values(APPS_OWN)]);
      const silent = await ask(label, `/?status=${status}`);
      expect([silent.status, ...cors(silent)]).toEqual([status, null, null]);
    }
  });

  test("says to any origin that an app has gone", async () => {
    const mortal = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("here") });
    const label = await open({ open_to_public: true }, mortal.port);
    expect((await ask(label)).status).toBe(200);
    await mortal.stop(true);
    const answer = await until(async () => {
      const one = await ask(label);
      return one.status !== 200 && one;
    });
    expect([answer.status, ...cors(answer)]).toEqual([502, ...ANY]);
  });
});
