/** The main job with spawned processes, real Redis and SQLite: create, enter, HTTP, WebSocket, stream, delete, restarts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { startApp, type App } from "../support/app.ts";
import { follow } from "../support/manager.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnCluster, type SpawnedCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";
import { talk } from "../support/websocket.ts";
import { atEnd } from "../support/at-end.ts";

let redis: RedisServer;
let cluster: SpawnedCluster;
let app: App;

beforeAll(async () => {
  redis = await startRedis();
  app = startApp();
  cluster = await spawnCluster({ redisPort: redis.port, ports: 64 });
});

afterAll(async () => {
  await cluster.stop();
  await app.stop();
  await redis.stop();
});

const enter = (proxy: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  cluster.manager.enter({ kernel_port: app.port }, proxy, headers);

async function circuit(id: string): Promise<Record<string, unknown>> {
  return (await cluster.manager.api("GET", `/api/circuit/${id}`)).body;
}

describe("a circuit", () => {
  test("carries HTTP to the app and back, with the permit kept from the app", async () => {
    const { origin, cookie, path } = await enter({ redirect: "/lab?x=1" });
    expect(path).toBe("/lab?x=1");
    const answer = await fetch(`${origin}/some%2Fpath?q=1`, { headers: { cookie: `${cookie}; mine=1` } });
    const seen = (await answer.json()) as { path: string; headers: Record<string, string> };
    expect(answer.status).toBe(200);
    expect(seen.path).toBe("/some%2Fpath?q=1");
    expect(seen.headers["cookie"]).toBe("mine=1");
    expect(seen.headers["host"]).toBe(new URL(origin).host);
    expect(seen.headers["x-forwarded-for"]).toBe("127.0.0.1");
    expect(seen.headers["x-forwarded-proto"]).toBe("http");
  });

  test("lets nobody in without a permit, and the app hears nothing of it", async () => {
    const { origin } = await enter();
    const before = app.requests.length;
    const refused = await fetch(`${origin}/secret`, { headers: { accept: "application/json" } });
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ msg: "E20004: Authorization cookie not provided" });
    const page = await fetch(`${origin}/secret`, { headers: { accept: "text/html" } });
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const socket = await talk(`${origin.replace("http", "ws")}/ws`, {});
    expect(socket.opened).toBe(false);
    expect(app.requests.length).toBe(before);
  });

  test("passes redirects and cookies of the app as they are, but for ours", async () => {
    const { origin, cookie } = await enter();
    const redirect = await fetch(`${origin}/redirect`, { headers: { cookie }, redirect: "manual" });
    expect([redirect.status, redirect.headers.get("location")]).toEqual([302, "/elsewhere?x=1"]);
    const cookies = await fetch(`${origin}/cookies`, { headers: { cookie } });
    expect(cookies.headers.getSetCookie()).toEqual(["a=1; Path=/", "b=2"]);
  });

  test("carries WebSockets: subprotocol, text, binary, close code", async () => {
    const { origin, cookie } = await enter();
    const socket = await talk(`${origin.replace("http", "ws")}/ws`, {
      headers: { cookie, origin },
      protocols: ["v1.kernel", "other"],
    });
    expect(socket.protocol).toBe("v1.kernel");
    await until(() => socket.heard.length === 1);
    socket.send("text");
    socket.send(new Uint8Array([0, 255, 7]));
    socket.send("");
    await until(() => socket.heard.length === 4);
    expect(socket.heard).toEqual(["welcome", "text", Buffer.from([0, 255, 7]), ""]);
    socket.send("close 4321");
    expect(await socket.closed).toEqual({ code: 4321, reason: "as asked" });
  });

  test("refuses a WebSocket from another site's page", async () => {
    const { origin, cookie } = await enter();
    const socket = await talk(`${origin.replace("http", "ws")}/ws`, {
      headers: { cookie, origin: "https://evil.example" },
    });
    expect(socket.opened).toBe(false);
  });

  test("streams: the first event comes before the answer ends, an upload arrives whole", async () => {
    const { origin, cookie } = await enter();
    const stream = await fetch(`${origin}/stream`, { headers: { cookie } });
    const reader = stream.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toStartWith("data: 1\n\n");
    await reader?.cancel();
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const hash = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    const upload = await fetch(`${origin}/upload`, { method: "POST", headers: { cookie }, body: bytes });
    expect(await upload.json()).toEqual({ sha256: hash });
  });

  test("is gone after its deletion: the port refuses, the record is not there", async () => {
    const { origin, circuitId } = await enter();
    expect((await cluster.manager.api("DELETE", `/api/circuit/${circuitId}`)).status).toBe(200);
    await until(async () => (await fetch(origin).catch(() => null)) === null);
    expect((await cluster.manager.api("GET", `/api/circuit/${circuitId}`)).status).toBe(404);
    expect((await cluster.manager.api("DELETE", `/api/circuit/${circuitId}`)).status).toBe(404);
  });

  test("can be closed by its user with the token", async () => {
    const { origin, token, sessionId } = await enter();
    const closed = await cluster.manager.call("GET", `/v2/proxy/${token}/${sessionId}/delete?app=jupyter`);
    expect([closed.status, closed.body]).toEqual([200, { success: true }]);
    await until(async () => (await fetch(origin).catch(() => null)) === null);
  });
});

describe("the setup link", () => {
  test("lets its first client in again", async () => {
    const { redirectUrl, origin, cookie } = await enter();
    const again = await follow(redirectUrl);
    expect([again.origin, again.path, again.cookie.split("=")[0]]).toEqual([origin, "/", cookie.split("=")[0]]);
  });

  test("is never cached and tells no referrer", async () => {
    const { token, sessionId } = await enter();
    const link = String((await cluster.manager.auth(token, sessionId)).body["redirect_url"]);
    const setup = await fetch(link, { redirect: "manual" });
    const entered = await fetch(setup.headers.get("location") ?? "", { redirect: "manual" });
    for (const { headers } of [setup, entered]) {
      expect([headers.get("cache-control"), headers.get("referrer-policy")]).toEqual(["no-store", "no-referrer"]);
    }
    expect(entered.headers.getSetCookie()[0]).toMatch(
      /^appproxy_permit_[0-9a-f]{8}=v3\.[A-Za-z0-9_-]{48}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Lax; Priority=High$/,
    );
  });
});

describe("the Manager's request id", () => {
  test("of /v2/conf is inherited by a circuit that a browser opens with GET", async () => {
    const { token, sessionId } = await cluster.manager.conf(
      { kernel_port: app.port },
      { "X-Backend-Request-ID": "req-inherit.1" },
    );
    const query = new URLSearchParams({
      token,
      session_id: sessionId,
      app: "jupyter",
      protocol: "http",
      envs: '{"A":"1"}',
      open_to_public: "false",
    });
    const answer = await cluster.manager.call("GET", `/v2/proxy/auth?${query.toString()}`, undefined, {
      Accept: "text/html",
    });
    expect(answer.status).toBe(302);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const { cookie } = await follow(answer.headers.get("location") ?? "");
    expect(cookie).toStartWith("appproxy_permit_");
    const { body } = await cluster.manager.api("GET", "/api/circuits?origin_request_id=req-inherit.1");
    const circuits = body["circuits"] as Record<string, unknown>[];
    expect(circuits.map(({ origin_request_id: id, envs, session_ids: sessions }) => ({ id, envs, sessions }))).toEqual([
      { id: "req-inherit.1", envs: { A: "1" }, sessions: [sessionId] },
    ]);
  });

  test("of the creating request comes before that of /v2/conf", async () => {
    const { token, sessionId } = await cluster.manager.conf(
      { kernel_port: app.port },
      { "X-Backend-Request-ID": "req-conf" },
    );
    const { body } = await cluster.manager.auth(token, sessionId, {}, { "X-Backend-Request-ID": "req-own" });
    expect((await circuit(String(body["circuit_id"])))["origin_request_id"]).toBe("req-own");
  });

  test("may come in the header of today's Manager", async () => {
    const { circuitId } = await enter({}, { "X-BackendAI-RequestID": "req-today" });
    expect((await circuit(circuitId))["origin_request_id"]).toBe("req-today");
  });

  test("is null when none came, and when what came is not one", async () => {
    const { circuitId } = await enter();
    expect((await circuit(circuitId))["origin_request_id"]).toBeNull();
    const bad = await enter({}, { "X-Backend-Request-ID": "has a space" });
    expect((await circuit(bad.circuitId))["origin_request_id"]).toBeNull();
    const told = () => cluster.coordinator.lines.find(({ msg }) => String(msg).startsWith("request id not stored"));
    await until(() => told() !== undefined);
    // It may be a token that stands in the wrong place.
    expect(JSON.stringify(told())).not.toContain("has a space");
    expect(told()).toMatchObject({ length: 11 });
  });

  test("is in the coordinator's log lines and in the events of the circuit", async () => {
    const events: { name: string; requestId: unknown }[] = [];
    const listener = new Redis(redis.port, "127.0.0.1");
    await listener.subscribe("events_all-appproxy");
    listener.on("message", (_channel, text: string) => {
      const envelope = JSON.parse(text) as { name: string; payload: string; metadata: string };
      const payload = JSON.parse(envelope.payload) as { circuits: { id: string }[] };
      events.push({
        name: `${envelope.name} ${payload.circuits[0]?.id}`,
        requestId: (JSON.parse(envelope.metadata) as Record<string, unknown>)["request_id"],
      });
    });
    const { circuitId } = await enter({}, { "X-Backend-Request-ID": "req-logged" });
    await cluster.manager.api("DELETE", `/api/circuit/${circuitId}`, undefined, {
      "X-Backend-Request-ID": "req-delete",
    });
    // Other circuits' events come too, and a worker that has just fetched its circuits may acknowledge one twice.
    const mine = () => [
      ...new Map(events.filter(({ name }) => name.endsWith(circuitId)).map((event) => [event.name, event])).values(),
    ];
    await until(() => mine().length >= 3);
    expect(mine()).toEqual([
      { name: `appproxy_circuit_created_event ${circuitId}`, requestId: "req-logged" },
      { name: `appproxy_worker_circuit_added_event ${circuitId}`, requestId: "req-logged" },
      { name: `appproxy_circuit_removed_event ${circuitId}`, requestId: "req-delete" },
    ]);
    const lines = await until(() => {
      const about = cluster.coordinator.lines.filter((line) => line["circuit"] === circuitId);
      return about.length >= 2 && about;
    });
    expect(lines.map((line) => [line["msg"], line["origin_request_id"]])).toEqual([
      ["circuit created", "req-logged"],
      ["circuit deleted", "req-logged"],
    ]);
    listener.disconnect();
  });
});

describe("accounting", () => {
  test("writes when the circuit and its session were used, and how often", async () => {
    const { origin, cookie, circuitId, sessionId } = await enter();
    const live = new Redis(redis.port, "127.0.0.1", { db: 2 });
    for (let count = 0; count < 3; count++) await fetch(origin, { headers: { cookie } });
    await until(async () => (await live.get(`circuit.${circuitId}.requests`)) === "3");
    const access = Number(await live.get(`circuit.${circuitId}.last_access`));
    expect(Math.abs(access - Date.now() / 1000)).toBeLessThan(10);
    expect(Number(await live.get(`session.${sessionId}.last_access`))).toBe(access);
    expect(await live.ttl(`circuit.${circuitId}.last_access`)).toBeGreaterThan(172_000);
    live.disconnect();
  });
});

describe("restarts", () => {
  test("of the worker: the circuit serves again on its port, with the same permit", async () => {
    const { origin, cookie, circuitId } = await enter();
    expect(await cluster.worker.stop("SIGTERM")).toBe(0);
    expect(await fetch(origin, { headers: { cookie } }).catch(() => "refused")).toBe("refused");
    await cluster.startWorker();
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    expect((await circuit(circuitId))["id"]).toBe(circuitId);
  });

  test("of the coordinator: traffic flows meanwhile, the record and the token are still there", async () => {
    const { origin, cookie, circuitId, token, sessionId } = await enter();
    expect(await cluster.coordinator.stop("SIGTERM")).toBe(0);
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    await cluster.startCoordinator();
    const again = await cluster.manager.auth(token, sessionId);
    expect(again.body).toMatchObject({ reuse: true, circuit_id: circuitId });
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
  });

  test("of Redis, empty: circuits stay, and new ones can be made", async () => {
    const { origin, cookie } = await enter();
    atEnd(() => redis.start());
    await redis.stop();
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    await redis.start();
    await until(async () => (await cluster.manager.call("GET", "/health/readyz")).status === 200);
    const another = startApp();
    atEnd(() => another.stop());
    const fresh = await until(() => cluster.manager.enter({ kernel_port: another.port }).catch(() => null));
    expect((await fetch(fresh.origin, { headers: { cookie: fresh.cookie } })).status).toBe(200);
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
  });
});
