/** Model services at the original's worker under our coordinator: endpoint, routes, token, and a client's request. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { decodeJwt } from "jose";
import { startLoneCoordinator, type LoneCoordinator } from "../support/lone-coordinator.ts";
import { API_SECRET, JWT_SECRET, PERMIT_SECRET } from "../support/manager.ts";
import { startOldWorker, type OldWorker } from "../support/original/worker.ts";
import { freeRange } from "../support/ports.ts";
import { until } from "../support/until.ts";
import { PORTS } from "./our-worker.ts";
import { kernel, page, untilPage } from "./stage.ts";
import { owed } from "../support/owed.ts";

const USER = "11111111-2222-4333-8444-555555555555";
/** Well under the 15 s that a call waits for an acknowledgement which never comes. Milliseconds. */
const AT_ONCE = 3000;

let stops: (() => Promise<void>)[];
let lone: LoneCoordinator;
let worker: OldWorker;

beforeEach(async () => {
  const low = await freeRange(PORTS);
  lone = await startLoneCoordinator({ events: { accept_unsigned: true } });
  stops = [() => lone.stop()];
  worker = await startOldWorker({
    redisPort: lone.redis.port,
    coordinatorUrl: lone.manager.baseUrl,
    apiSecret: API_SECRET,
    jwtSecret: JWT_SECRET,
    permitSecret: PERMIT_SECRET,
    authority: "old-1",
    ports: [low, low + PORTS - 1],
  });
  stops.push(() => worker.stop());
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
  expect(worker.faults).toEqual([]);
});

type Body = Record<string, unknown>;

async function call(method: string, path: string, body?: Body): Promise<Body> {
  const answer = await lone.manager.api(method, path, body);
  expect([answer.status, answer.body["msg"]]).toEqual([200, undefined]);
  return answer.body;
}

function wanted(id: string, more: Body = {}): Body {
  const session = { user_uuid: USER, project_id: null, domain_name: "default" };
  const tags = { session, endpoint: { id, runtime_variant: "vllm", existing_url: null } };
  return { version: "v2", service_name: "llama", tags, open_to_public: false, health_check: null, ...more };
}

interface Service {
  id: string;
  port: number;
}

async function service(more: Body = {}): Promise<Service> {
  const id = crypto.randomUUID();
  const answer = await call("POST", `/v2/endpoints/${id}`, wanted(id, more));
  expect(answer).toMatchObject({ success: true, health_check_enabled: false });
  return { id, port: Number(new URL(String(answer["endpoint"])).port) };
}

/** Gives the services these kernels; null for none. */
async function route(...given: [Service, letter: string | null][]): Promise<void> {
  const endpoints = given.map(([{ id }, letter]) => ({
    deployment_id: id,
    routes: letter === null ? [] : [routeTo(letter)],
  }));
  expect(await call("POST", "/v2/endpoints/bulk/routes", { endpoints })).toEqual({
    endpoints: given.map(([{ id }]) => ({ deployment_id: id, success: true, error: null })),
  });
}

function routeTo(letter: string): Body {
  const { port, stop } = kernel(letter);
  stops.push(stop);
  return {
    session_id: crypto.randomUUID(),
    route_id: crypto.randomUUID(),
    kernel_host: "127.0.0.1",
    kernel_port: port,
  };
}

async function token({ id }: Service): Promise<string> {
  const exp = new Date(Date.now() + 3_600_000).toISOString();
  return String((await call("POST", `/v2/endpoints/${id}/token`, { user_uuid: USER, exp }))["token"]);
}

describe("a model service", () => {
  test("is there without kernels, gets some, and answers who comes with its token", async () => {
    const start = performance.now();
    const mine = await service();
    const authorization = `Bearer ${await token(mine)}`;
    expect(await page(mine.port, { authorization })).toStartWith("503 ");
    await route([mine, "a"]);
    expect(performance.now() - start).toBeLessThan(owed(AT_ONCE));
    await untilPage(mine.port, { authorization }, "200 a");
    expect(await page(mine.port, { authorization: authorization.replace("Bearer", "BackendAI") })).toBe("200 a");
    expect(worker.heard).toEqual(["appproxy_circuit_created_event", "appproxy_circuit_route_updated_event"]);
  });

  test("has a token whose claims are what the original's worker looks at", async () => {
    const mine = await service();
    const claims = decodeJwt(await token(mine));
    const [circuit] = worker.circuits.values();
    expect(claims).toMatchObject({
      id: String(circuit?.id),
      app_mode: "inference",
      endpoint_id: mine.id,
      port: mine.port,
      user: USER,
      exp: expect.any(Number),
    });
    expect(String(claims["app_url"])).toContain(`127.0.0.1:${mine.port}`);
    // `aud` makes PyJWT refuse it; routes would tell clients where kernels are.
    expect([claims.aud, claims["route_info"]]).toEqual([undefined, undefined]);
  });

  test("lets nobody in with another service's token, or without one", async () => {
    const [mine, other] = [await service(), await service()];
    await route([mine, "a"], [other, "b"]);
    const authorization = `Bearer ${await token(other)}`;
    await untilPage(other.port, { authorization }, "200 b");
    expect(await page(mine.port, { authorization })).toBe("401 E20009: Authorization token mismatch");
    expect(await page(mine.port)).toBe("401 E20006: Authorization header not provided");
  });

  test("that is open to the public needs no token; its kernels are replaced and taken away at once", async () => {
    const mine = await service({ open_to_public: true });
    const start = performance.now();
    await route([mine, "a"]);
    await untilPage(mine.port, {}, "200 a");
    await route([mine, "b"]);
    await untilPage(mine.port, {}, "200 b");
    await route([mine, null]);
    await until(async () => (await page(mine.port))?.startsWith("503 "));
    expect(performance.now() - start).toBeLessThan(owed(AT_ONCE));
  });

  test("that becomes private is private at the worker when the call is answered, and has its kernels still", async () => {
    const mine = await service({ open_to_public: true });
    await route([mine, "a"]);
    await untilPage(mine.port, {}, "200 a");
    await call("POST", `/v2/endpoints/${mine.id}`, wanted(mine.id, { open_to_public: false }));
    expect(await page(mine.port)).toBe("401 E20006: Authorization header not provided");
    await call("POST", `/v2/endpoints/${mine.id}`, wanted(mine.id, { open_to_public: true }));
    expect(await page(mine.port)).toBe("200 a");
  });

  test("is made once, however often it is asked for, also after its routes have changed", async () => {
    const mine = await service({ open_to_public: true });
    await route([mine, "a"]);
    const again = await call("POST", `/v2/endpoints/${mine.id}`, wanted(mine.id, { open_to_public: true }));
    expect(Number(new URL(String(again["endpoint"])).port)).toBe(mine.port);
    expect(worker.ports()).toEqual([mine.port]);
    // It says nothing of changed routes, so nobody waits for it.
    await untilPage(mine.port, {}, "200 a");
  });

  test("closes its port when it is deleted, alone or with others", async () => {
    const [one, two, three] = [await service(), await service(), await service()];
    expect(worker.ports()).toHaveLength(3);
    expect(await call("DELETE", `/v2/endpoints/${one.id}`)).toEqual({ success: true });
    const endpoints = [two, three].map(({ id }) => ({ deployment_id: id }));
    await call("DELETE", "/v2/endpoints/bulk", { endpoints });
    await until(() => worker.ports().length === 0);
  });

  test("is one of many that one call makes: each has a port of its own at the old worker", async () => {
    const ids = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
    const { endpoints } = (await call("POST", "/v2/endpoints/bulk", {
      endpoints: ids.map((id) => ({ deployment_id: id, ...wanted(id) })),
    })) as { endpoints: { deployment_id: string; url: string }[] };
    expect(endpoints.map((one) => one.deployment_id)).toEqual(ids);
    const ports = endpoints.map(({ url }) => Number(new URL(url).port));
    expect(ports.toSorted()).toEqual(worker.ports().toSorted());
  });
});
