/** Making circuits: reuse, concurrency, placement, slots, acknowledgement and what happens without one. Real Redis, workers that only acknowledge. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { startFakeWorker, type FakeWorker } from "../../support/fake-worker.ts";
import { newKernel, type Answer, type Manager } from "../../support/manager.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { until } from "../../support/until.ts";
import { atEnd } from "../../support/at-end.ts";

let lone: LoneCoordinator;
let manager: Manager;
let workers: FakeWorker[] = [];

beforeEach(async () => {
  lone = await startLoneCoordinator({ coordinator: { circuit_ack_timeout: 1, worker_heartbeat_timeout: 3600 } });
  manager = lone.manager;
});

afterEach(async () => {
  for (const worker of workers) await worker.stop();
  workers = [];
  await lone.stop();
});

async function worker(registration: Record<string, unknown> & { authority: string }): Promise<FakeWorker> {
  const started = await startFakeWorker(manager, lone.redis.port, registration);
  workers.push(started);
  return started;
}

/** For a test in which workers are lost: who sends no heartbeat is, after a second or two. */
async function impatient(): Promise<void> {
  await lone.stop();
  lone = await startLoneCoordinator({ coordinator: { circuit_ack_timeout: 10, worker_heartbeat_timeout: 1 } });
  manager = lone.manager;
}

/** Sends heartbeats until what it gives is called, or the test ends. */
function keepAlive(one: FakeWorker): () => void {
  const timer = setInterval(() => void one.heartbeat().catch(() => undefined), 100);
  const end = () => clearInterval(timer);
  atEnd(end);
  return end;
}

async function circuits(query = ""): Promise<Record<string, unknown>[]> {
  return (await manager.api("GET", `/api/circuits${query}`)).body["circuits"] as Record<string, unknown>[];
}

async function freeSlots(): Promise<unknown> {
  const [first] = (await manager.api("GET", "/api/worker")).body["workers"] as Record<string, unknown>[];
  return [first?.["available_slots"], first?.["occupied_slots"]];
}

const open = async (
  wish: Record<string, unknown> = {},
  headers: Record<string, string> = {},
  session?: string,
): Promise<Answer> => {
  const conf = await manager.conf(
    session === undefined ? newKernel() : { kernel_port: 8888, session_id: session },
    headers,
  );
  return manager.auth(conf.token, conf.sessionId, wish);
};

test("a wanted name that can't stand under the worker's domain becomes a generated one, as one of which nothing is left", async () => {
  await worker({ authority: "w", frontend_mode: "wildcard", wildcard_domain: ".2apps.example.com", port_range: null });
  for (const subdomain of ["שלום", "العربية", "!!!"]) {
    const { status, body } = await open({ subdomain });
    expect(status).toBe(200);
    const circuit = await manager.api("GET", `/api/circuit/${String(body["circuit_id"])}`);
    expect(circuit.body["subdomain"]).toMatch(/^app-[0-9a-f]{8}$/);
  }
  expect((await open({ subdomain: "라마" })).status).toBe(200);
  expect((await circuits()).map((one) => one["subdomain"])).toContain("xn--oi2bp7b");
});

describe("the answer to an opening by a body", () => {
  test.each<[string, number, Record<string, string>]>([
    ["is a redirect where HTML is accepted", 302, { Accept: "text/html" }],
    ["is a redirect for a browser's form", 302, { Accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" }],
    ["is a redirect where HTML is liked as well", 302, { Accept: "application/json, TEXT/HTML;q=0.1" }],
    ["is JSON where HTML is refused", 200, { Accept: "text/html;q=0, application/json" }],
    ["is JSON where another type has that name in it", 200, { Accept: "application/x+text/html" }],
    ["is JSON where anything is accepted", 200, { Accept: "*/*" }],
    ["is JSON where nothing is said", 200, { Accept: "" }],
  ])("%s", async (_what, status, headers) => {
    await worker({ authority: "w" });
    const { token, sessionId } = await manager.conf(newKernel());
    const body = { app: "jupyter", protocol: "http", token, session_id: sessionId };
    expect((await manager.call("POST", "/v2/proxy/auth", body, headers)).status).toBe(status);
  }); // prettier-ignore
});

describe("reuse", () => {
  const session = "aaaaaaaa-0000-4000-8000-000000000001";

  test("the same session, app, publicity and addresses share a circuit, which keeps its first request id", async () => {
    await worker({ authority: "w" });
    const first = await open({ allowed_client_ips: "10.0.0.0/8" }, { "X-Backend-Request-ID": "first" }, session);
    const second = await open(
      { allowed_client_ips: "10.0.0.0/8", redirect: "/lab" },
      { "X-Backend-Request-ID": "second" },
      session,
    );
    expect([first.body["reuse"], second.body["reuse"]]).toEqual([false, true]);
    expect(second.body["circuit_id"]).toBe(first.body["circuit_id"]);
    expect((await circuits()).map((one) => one["origin_request_id"])).toEqual(["first"]);
  });

  test.each([
    ["another app", { app: "other" }],
    ["another publicity", { open_to_public: true }],
    ["other addresses", { allowed_client_ips: "10.0.0.1" }],
    ["no_reuse", { no_reuse: true }],
    ["another protocol", { protocol: "grpc" }],
  ])("%s makes another circuit", async (_what, wish) => {
    await worker({ authority: "w" });
    await worker({ authority: "g", protocol: "grpc" });
    const first = await open({}, {}, session);
    const second = await open(wish, {}, session);
    expect([second.status, second.body["reuse"]]).toEqual([200, false]);
    expect(second.body["circuit_id"]).not.toBe(first.body["circuit_id"]);
  });

  test("preopen is http for placement and reuse", async () => {
    await worker({ authority: "w" });
    const first = await open({ protocol: "preopen" }, {}, session);
    expect((await open({}, {}, session)).body["circuit_id"]).toBe(first.body["circuit_id"]);
    expect((await circuits())[0]?.["protocol"]).toBe("http");
  });

  test("32 identical requests at once make one circuit", async () => {
    const { events } = await worker({ authority: "w" });
    const conf = await manager.conf({ kernel_port: 8888, session_id: session });
    const answers = await Promise.all(Array.from({ length: 32 }, () => manager.auth(conf.token, session)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ body }) => body["circuit_id"])).size).toBe(1);
    expect(answers.filter(({ body }) => body["reuse"] === false).length).toBe(1);
    expect((await circuits()).length).toBe(1);
    expect(events.filter(({ name }) => name === "appproxy_circuit_created_event").length).toBe(1);
  });

  test("says false for TCP, although it is shared", async () => {
    await worker({ authority: "t", protocol: "tcp" });
    const first = await open({ protocol: "tcp" }, {}, session);
    const second = await open({ protocol: "vnc" }, {}, session);
    expect(second.body).toMatchObject({ reuse: false, circuit_id: first.body["circuit_id"] as string });
  });

  test("of a kernel that has moved points the circuit at the new one", async () => {
    const { events } = await worker({ authority: "w" });
    const first = await open({}, {}, session);
    const conf = await manager.conf({ kernel_port: 9999, session_id: session });
    expect((await manager.auth(conf.token, session)).body["circuit_id"]).toBe(String(first.body["circuit_id"]));
    const updated = await until(() => events.find(({ name }) => name === "appproxy_circuit_route_updated_event"));
    expect(updated.payload).toMatchObject({ revision: 2, routes: [{ kernel_port: 9999 }] });
  });

  test("knows an IPv6 kernel with and without the brackets of a URL", async () => {
    await worker({ authority: "w" });
    const told: unknown[] = [];
    for (const kernel_host of ["[fd00::1]", "fd00::1"]) {
      const { token, sessionId } = await manager.conf({ kernel_port: 8888, kernel_host, session_id: session });
      const { body } = await manager.auth(token, sessionId);
      told.push([body["reuse"], (await circuits()).map(({ route_info: routes, revision }) => [routes, revision])]);
    }
    const routes = [expect.objectContaining({ kernel_host: "fd00::1", kernel_port: 8888 })];
    expect(told).toEqual([
      [false, [[routes, 1]]],
      [true, [[routes, 1]]],
    ]);
  });

  test("of a circuit at a dead worker moves it to a living one", async () => {
    await impatient();
    const dead = await worker({ authority: "dead" });
    const die = keepAlive(dead);
    const first = await open({}, {}, session);
    die();
    await until(async () => (await manager.api("GET", `/api/worker/${dead.id}`)).body["status"] === "LOST");
    const living = await worker({ authority: "living" });
    keepAlive(living);
    const second = await open({}, {}, session);
    expect(second.body).toMatchObject({ reuse: true, circuit_id: first.body["circuit_id"] as string });
    expect((await circuits()).map((one) => one["worker"])).toEqual([living.id]);
    await until(() => dead.events.some(({ name }) => name === "appproxy_circuit_removed_event"));
  });
});

describe("a circuit that changes", () => {
  const session = "aaaaaaaa-0000-4000-8000-000000000004";

  test("its kernel is answered for only when the worker knows the new one, and stays when it does not", async () => {
    const mine = await worker({ authority: "w", node_id: "n1" });
    const first = await open({}, {}, session);
    const rerouted = await manager.conf({ kernel_port: 9999, session_id: session });
    mine.answers = false;
    expect((await manager.auth(rerouted.token, session)).body["msg"]).toBe("E10001: Proxy worker not responding");
    mine.answers = true;
    const again = await manager.auth(rerouted.token, session);
    expect([again.status, again.body["circuit_id"]]).toEqual([200, first.body["circuit_id"]]);
    expect((await circuits()).length).toBe(1);
  });

  test("under two requests with different kernels settles on one of them, and the coordinator goes on", async () => {
    const mine = await worker({ authority: "w", node_id: "n1" });
    await open({}, {}, session);
    const [one, two] = [
      await manager.conf({ kernel_port: 9001, session_id: session }),
      await manager.conf({ kernel_port: 9002, session_id: session }),
    ];
    const revision = async () => (await manager.api("GET", `/api/worker/${mine.id}`)).body["revision"];
    mine.answers = false;
    const both = await Promise.all([manager.auth(one.token, session), manager.auth(two.token, session)]);
    expect(both.map(({ status }) => status)).toEqual([503, 503]);
    expect(await revision()).toBe(3);
    mine.answers = true;
    const again = await Promise.all([manager.auth(one.token, session), manager.auth(two.token, session)]);
    expect(again.map(({ status }) => status)).toEqual([200, 200]);
    expect((await circuits()).length).toBe(1);
  });

  test("because it is deleted while somebody waits for it is made anew", async () => {
    const mine = await worker({ authority: "w" });
    mine.answers = false;
    const opened = open({}, {}, session);
    const doomed = await until(async () => (await circuits())[0]);
    // Its event is past, or the worker would still acknowledge it.
    await until(() => mine.events.length === 1);
    mine.answers = true;
    await manager.api("DELETE", `/api/circuit/${String(doomed["id"])}`);
    const answer = await opened;
    expect(answer.status).toBe(200);
    expect((await circuits()).map((left) => left["id"])).toEqual([answer.body["circuit_id"]]);
    expect(answer.body["circuit_id"]).not.toBe(doomed["id"]);
  });

  test("its kernel is answered for at once at a worker of the original, which does not acknowledge that", async () => {
    await worker({ authority: "w" });
    await open({}, {}, session);
    const rerouted = await manager.conf({ kernel_port: 9999, session_id: session });
    expect((await manager.auth(rerouted.token, session)).status).toBe(200);
  });

  test.each([
    ["range", { port_range: [31_000, 31_009] }],
    ["mode", { frontend_mode: "wildcard", wildcard_domain: ".apps.example", port_range: null }],
  ])("because its worker came back with another %s gets a new slot", async (_what, change) => {
    const mine = await worker({ authority: "w" });
    const first = await open({}, {}, session);
    await manager.api("PUT", "/api/worker", { ...REGISTRATION, ...change });
    const second = await open({}, {}, session);
    expect(second.body).toMatchObject({ reuse: true, circuit_id: first.body["circuit_id"] as string });
    const [moved] = await circuits();
    expect(moved?.["worker"]).toBe(mine.id);
    expect(moved?.["port"] === null ? moved["subdomain"] : moved?.["port"]).toEqual(moved?.["port"] === null ? expect.stringMatching(/^app-/) : 31_000); // prettier-ignore
  });

  test("its worker while somebody waits for the old one is waited for at the new one, by both", async () => {
    await impatient();
    const left = await worker({ authority: "left" });
    const die = keepAlive(left);
    left.answers = false;
    const token = await manager.conf({ kernel_port: 8888, session_id: session });
    const first = manager.auth(token.token, session);
    await until(async () => (await circuits()).length === 1);
    die();
    await until(async () => (await manager.api("GET", `/api/worker/${left.id}`)).body["status"] === "LOST");
    const right = await worker({ authority: "right" });
    keepAlive(right);
    const second = await manager.auth(token.token, session);
    expect([second.status, (await first).status]).toEqual([200, 200]);
    expect((await circuits()).map((one) => one["worker"])).toEqual([right.id]);
  });
});

describe("placement", () => {
  test("without any worker is 503, and nothing is recorded", async () => {
    expect(await open()).toMatchObject({ status: 503, body: { msg: "No worker is alive" } });
    expect(await circuits()).toEqual([]);
  });

  test("a wanted port is given, and 409 when it is taken", async () => {
    await worker({ authority: "w" });
    const first = await open({ port: 30_005 });
    expect((await circuits())[0]?.["port"]).toBe(30_005);
    expect(first.status).toBe(200);
    const second = await open({ port: 30_005 });
    expect([second.status, second.body["type"], second.body["msg"]]).toEqual([
      409,
      "https://api.backend.ai/probs/appproxy/port-not-available",
      "port: 30005 is already occupied by another circuit",
    ]);
    expect((await circuits()).length).toBe(1);
  });

  test("when all ports are taken is 503; a freed port is used again, the longest free first", async () => {
    await worker({ authority: "w", port_range: [30_000, 30_002] });
    const opened = [await open(), await open(), await open()];
    expect((await open()).body["msg"]).toBe("All ports of the fitting workers are taken");
    expect(await freeSlots()).toEqual([0, 3]);
    for (const at of [1, 0]) await manager.api("DELETE", `/api/circuit/${String(opened[at]?.body["circuit_id"])}`);
    await open();
    await open();
    expect((await circuits()).map((one) => one["port"])).toEqual([30_002, 30_001, 30_000]);
  });

  test("a wildcard worker comes first and gives subdomains, a taken one with a suffix", async () => {
    await worker({ authority: "p" });
    await worker({ authority: "wild", frontend_mode: "wildcard", wildcard_domain: ".apps.example", wildcard_traffic_port: 443, port_range: null }); // prettier-ignore
    await open({ subdomain: "My Notebook!" });
    await open({ subdomain: "my-notebook" });
    await open();
    const names = (await circuits()).map((one) => String(one["subdomain"]));
    expect(names[0]).toBe("my-notebook");
    expect(names[1]).toMatch(/^my-notebook-[0-9a-f]{8}$/);
    expect(names[2]).toMatch(/^app-[0-9a-f]{8}$/);
    const slots = (await manager.api("GET", "/api/slots?wsproxy_host=wild&in_use=true")).body["slots"] as Record<
      string,
      unknown
    >[];
    expect(slots.map(({ subdomain }) => String(subdomain)).toSorted()).toEqual(names.toSorted());
  });

  test("an app filter draws its session to its worker", async () => {
    const session = "aaaaaaaa-0000-4000-8000-000000000002";
    await worker({ authority: "a" });
    const mine = await worker({
      authority: "z",
      filtered_apps_only: true,
      app_filters: [{ key: "session.id", value: session }],
    });
    await open({}, {}, session);
    await open();
    expect((await circuits()).map((one) => one["worker"] === mine.id)).toEqual([true, false]);
  });

  test("the redirect goes to the worker's own API with a token that lives for a minute", async () => {
    await worker({ authority: "w", tls_advertised: true });
    const { body } = await open({ redirect: "/lab" });
    const url = new URL(String(body["redirect_url"]));
    expect([url.origin, url.pathname]).toEqual(["https://worker.example:5050", "/setup"]);
    expect(url.searchParams.get("token")).toBe(String(body["token"]));
    const claims = JSON.parse(Buffer.from(String(body["token"]).split(".")[1] ?? "", "base64url").toString()) as Record<
      string,
      unknown
    >;
    expect(claims).toMatchObject({ version: "v2", redirect: "/lab", circuit: body["circuit_id"] as string });
    // Issued ten seconds ago: the original has no patience with clocks that are ahead of its own.
    expect(Number(claims["exp"]) - Number(claims["iat"])).toBe(70);
    expect(Object.keys(claims).toSorted()).toEqual(["circuit", "exp", "iat", "id", "jti", "redirect", "version"]);
  });
});

describe("older clients", () => {
  test("are told by /add where to open an app, with all that they asked for", async () => {
    await worker({ authority: "w" });
    const { token, sessionId } = await manager.conf({ kernel_port: 8888 }, { "X-Backend-Request-ID": "from-conf" });
    const asked =
      'app=jupyter&protocol=http&envs={"A":"%2F"}&args=--x%20y&port=30007&open_to_public=True&redirect=/lab';
    const added = await manager.call("GET", `/v2/proxy/${token}/${sessionId}/add?${asked}`);
    expect(added.body["code"]).toBe(200);
    const url = new URL(String(added.body["url"]));
    expect(url.origin + url.pathname).toBe(`${manager.baseUrl}/v2/proxy/auth`);
    const opened = await manager.call("GET", url.pathname + url.search, undefined, { Accept: "application/json" });
    expect(opened.status).toBe(200);
    expect((await circuits())[0]).toMatchObject({
      envs: { A: "/" },
      arguments: "--x y",
      port: 30_007,
      open_to_public: true,
      origin_request_id: "from-conf",
    });
  });

  test("close an app that they have not opened, too", async () => {
    const { token, sessionId } = await manager.conf({ kernel_port: 8888 });
    expect((await manager.call("GET", `/v2/proxy/${token}/${sessionId}/delete?app=jupyter`)).body).toEqual({
      success: true,
    });
  });
});

describe("without an acknowledgement", () => {
  test("creation is 503 E10001 and leaves nothing: no record, no slot, and the worker is told", async () => {
    const silent = await worker({ authority: "w" });
    silent.answers = false;
    const answer = await open();
    expect([answer.status, answer.body["msg"]]).toEqual([503, "E10001: Proxy worker not responding"]);
    expect(await circuits()).toEqual([]);
    expect(await freeSlots()).toEqual([10, 0]);
    await until(() => silent.events.length === 2);
    expect(silent.events.map(({ name }) => name)).toEqual([
      "appproxy_circuit_created_event",
      "appproxy_circuit_removed_event",
    ]);
  });

  test("two requests for one circuit fail together, and a retry makes exactly one", async () => {
    const silent = await worker({ authority: "w" });
    silent.answers = false;
    const conf = await manager.conf({ kernel_port: 8888 });
    const both = await Promise.all([
      manager.auth(conf.token, conf.sessionId),
      manager.auth(conf.token, conf.sessionId),
    ]);
    expect(both.map(({ status }) => status)).toEqual([503, 503]);
    silent.answers = true;
    expect((await manager.auth(conf.token, conf.sessionId)).status).toBe(200);
    expect((await circuits()).length).toBe(1);
  });

  test("because it was lost without a sign, a worker of ours is asked again, and one of the original is not", async () => {
    const patient = await startLoneCoordinator({ coordinator: { circuit_ack_timeout: 4 } });
    atEnd(() => patient.stop());
    const ask = async (authority: string, more: Record<string, string>) => {
      const made = await startFakeWorker(patient.manager, patient.redis.port, { authority, ...more });
      made.answers = false;
      const conf = await patient.manager.conf({ kernel_port: 8888 });
      const opened = patient.manager.auth(conf.token, conf.sessionId, { app: authority });
      await until(() => made.events.length === 1);
      made.answers = true;
      const { status } = await opened;
      const told = made.events.map(({ name }) => name).filter((name) => name === "appproxy_circuit_created_event");
      await patient.manager.api("DELETE", `/api/worker/${made.id}?${new URLSearchParams(more).toString()}`);
      await made.stop();
      return [status, told.length];
    };
    expect(await ask("ours", { node_id: "n1" })).toEqual([200, 2]);
    expect(await ask("original", {})).toEqual([503, 1]);
  });

  test("because it was lost with the connection, the worker is asked again", async () => {
    // So patient that only the connection's loss can be why; of the original, so that nothing else asks it again.
    const patient = await startLoneCoordinator({ coordinator: { circuit_ack_timeout: 50 } });
    atEnd(() => patient.stop());
    const deaf = await startFakeWorker(patient.manager, patient.redis.port, { authority: "w" });
    atEnd(() => deaf.stop());
    deaf.answers = false;
    const conf = await patient.manager.conf({ kernel_port: 8888 });
    const opened = patient.manager.auth(conf.token, conf.sessionId);
    await until(() => deaf.events.length === 1);
    deaf.answers = true;
    const client = new Redis(patient.redis.port, "127.0.0.1");
    atEnd(() => client.disconnect());
    // The coordinator subscribed first; the list is in no order, since Redis turns it while it looks after its clients. This
    // worker, unlike a real one, would fetch nothing after a loss of its own.
    const subscribers = String(await client.call("CLIENT", "LIST", "TYPE", "pubsub"));
    const ids = [...subscribers.matchAll(/\bid=(\d+)/g)].map(([, id]) => Number(id));
    await client.call("CLIENT", "KILL", "ID", String(Math.min(...ids)));
    expect((await opened).status).toBe(200);
  });

  test("a forged acknowledgement does not count", async () => {
    const silent = await worker({ authority: "w" });
    silent.answers = false;
    const forge = (async () => {
      const created = await until(() => silent.events[0]);
      const payload = {
        target_worker_authority: "w",
        circuits: "circuits" in created.payload ? created.payload.circuits : [],
      };
      await lone.publish(JSON.stringify({ name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload: JSON.stringify(payload), metadata: "{}" })); // prettier-ignore
    })();
    expect((await open()).status).toBe(503);
    await forge;
  });
});

describe("lists", () => {
  test("filter by request id, session, app and worker, and come in pages", async () => {
    const mine = await worker({ authority: "w" });
    const session = "aaaaaaaa-0000-4000-8000-000000000003";
    await open({}, { "X-Backend-Request-ID": "r1" }, session);
    await open({ app: "rstudio" }, { "X-Backend-Request-ID": "r2" });
    await open({ app: "rstudio" });
    const ids = (await circuits()).map((one) => String(one["id"]));
    const idsOf = async (query: string) => (await circuits(query)).map((one) => String(one["id"]));
    expect(await idsOf("?origin_request_id=r2")).toEqual([ids[1] ?? ""]);
    expect(await idsOf(`?session_id=${session.toUpperCase()}`)).toEqual([ids[0] ?? ""]);
    expect(await idsOf("?app=rstudio")).toEqual(ids.slice(1));
    expect(await idsOf("?worker=w")).toEqual(ids);
    expect(await idsOf(`?worker=${mine.id}&app=jupyter`)).toEqual(ids.slice(0, 1));
    expect(await idsOf("?worker=none")).toEqual([]);
    const page = (await manager.api("GET", "/api/circuits?limit=2")).body;
    expect(page["next"]).toEndWith(`.${ids[1] ?? ""}`);
    expect(await idsOf(`?limit=2&after=${String(page["next"])}`)).toEqual(ids.slice(2));
  });
});

describe("workers", () => {
  test("register again with their id and circuits; are lost without heartbeats, and return with one", async () => {
    await impatient();
    const mine = await worker({ authority: "w" });
    const die = keepAlive(mine);
    await open();
    const again = (await manager.api("PUT", "/api/worker", { ...REGISTRATION, port_range: [30_000, 30_019] })).body;
    expect([again["id"], again["available_slots"], again["occupied_slots"], again["nodes"]]).toEqual([
      mine.id,
      19,
      1,
      1,
    ]);
    const status = async () => (await manager.api("GET", `/api/worker/${mine.id}`)).body["status"];
    die();
    await until(async () => (await status()) === "LOST");
    expect((await open()).status).toBe(503);
    expect(await mine.heartbeat()).toBe(200);
    expect(await status()).toBe("ALIVE");
    expect((await manager.api("GET", `/api/worker/${mine.id}/circuits`)).body["circuits"]).toHaveLength(1);
  });

  test("that leave are terminated and must register again", async () => {
    const mine = await worker({ authority: "w" });
    expect((await manager.api("DELETE", `/api/worker/${mine.id}`)).body).toEqual({ success: true });
    expect((await manager.api("GET", `/api/worker/${mine.id}`)).body["status"]).toBe("TERMINATED");
    expect(await mine.heartbeat()).toBe(404);
  });

  test("with several nodes live until the last one leaves", async () => {
    const put = (node: string) => manager.api("PUT", "/api/worker", { ...REGISTRATION, node_id: node });
    const { body } = await put("n1");
    expect((await put("n2")).body["nodes"]).toBe(2);
    const path = `/api/worker/${String(body["id"])}`;
    await manager.api("DELETE", `${path}?node_id=n1`);
    expect((await manager.api("GET", path)).body).toMatchObject({ status: "ALIVE", nodes: 1 });
    await manager.api("DELETE", `${path}?node_id=n2`);
    expect((await manager.api("GET", path)).body).toMatchObject({ status: "TERMINATED", nodes: 0 });
  });
});

const REGISTRATION = {
  authority: "w",
  frontend_mode: "port",
  protocol: "http",
  hostname: "worker.example",
  api_port: 5050,
  port_range: [30_000, 30_009],
  accepted_traffics: ["interactive"],
};
