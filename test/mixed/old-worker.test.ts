/** The Python original's worker under our coordinator: registration, apps from conf to page, loss and return. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { decodeJwt } from "jose";
import { startLoneCoordinator, type LoneCoordinator } from "../support/lone-coordinator.ts";
import { API_SECRET, JWT_SECRET, PERMIT_SECRET, type Answer } from "../support/manager.ts";
import { mint, permitOf } from "../support/original/tokens.ts";
import { startOldWorker, type OldWorker, type OldWorkerSettings } from "../support/original/worker.ts";
import { freeRange } from "../support/ports.ts";
import { until } from "../support/until.ts";
import { PORTS, startOurWorker, whole, type OurWorker } from "./our-worker.ts";
import { echo, echoed, kernel, page } from "./stage.ts";
import { owed } from "../support/owed.ts";

const USER = "11111111-2222-4333-8444-555555555555";

let stops: (() => Promise<void>)[];
let lone: LoneCoordinator;
let low: number;
let workers: OldWorker[];

beforeEach(async () => {
  stops = [];
  workers = [];
  low = await freeRange(PORTS);
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
  expect(workers.flatMap(({ faults }) => faults)).toEqual([]);
});

async function coordinator(settings: Record<string, unknown> = {}): Promise<void> {
  lone = await startLoneCoordinator({ coordinator: settings, events: { accept_unsigned: true } });
  stops.push(() => lone.stop());
}

async function old(settings: Partial<OldWorkerSettings> = {}): Promise<OldWorker> {
  const worker = await startOldWorker({
    redisPort: lone.redis.port,
    coordinatorUrl: lone.manager.baseUrl,
    apiSecret: API_SECRET,
    jwtSecret: JWT_SECRET,
    permitSecret: PERMIT_SECRET,
    authority: "old-1",
    ports: [low, low + PORTS - 1],
    ...settings,
  });
  stops.push(() => worker.stop());
  workers.push(worker);
  return worker;
}

function running<T extends { stop: () => Promise<void> }>(one: T): T {
  stops.push(() => one.stop());
  return one;
}

const app = (letter: string) => running(kernel(letter)).port;
const recorded = async (worker: OldWorker) => (await lone.manager.api("GET", `/api/worker/${worker.id()}`)).body;
const untilStatus = (worker: OldWorker, wanted: string) =>
  until(async () => (await recorded(worker))["status"] === wanted, 30_000, `the worker to be ${wanted}`);

interface Opened {
  id: string;
  port: number;
  link: string;
  reuse: boolean;
}

async function open(kernelPort: number, sessionId: string = crypto.randomUUID(), wish: Wish = {}): Promise<Opened> {
  const { token } = await lone.manager.conf({ kernel_port: kernelPort, session_id: sessionId, user_uuid: USER });
  const { status, body } = await lone.manager.auth(token, sessionId, wish);
  expect([status, body["msg"]]).toEqual([200, undefined]);
  const id = String(body["circuit_id"]);
  const circuit = await lone.manager.api("GET", `/api/circuit/${id}`);
  return {
    id,
    port: Number(circuit.body["port"]),
    link: String(body["redirect_url"]),
    reuse: body["reuse"] === true,
  };
}

/** Follows a setup link as a browser does; gives where it leads and the cookie. */
async function entered(link: string): Promise<{ location: string | null; cookie: string }> {
  const answer = await fetch(link, { redirect: "manual" });
  return {
    location: answer.headers.get("location"),
    cookie: String(answer.headers.getSetCookie()[0]?.split(";")[0]),
  };
}

type Wish = Record<string, unknown>;

describe("an old worker", () => {
  beforeEach(() => coordinator());

  test("registers as one node, however often, and its bare heartbeats keep it alive", async () => {
    const worker = await old();
    await old();
    expect(await worker.heartbeat()).toBe(200);
    expect(await recorded(worker)).toMatchObject({
      authority: "old-1",
      status: "ALIVE",
      nodes: 1,
      available_slots: PORTS,
      occupied_slots: 0,
      port_range: [low, low + PORTS - 1],
    });
    expect((await lone.manager.api("GET", "/api/worker")).body["workers"]).toHaveLength(1);
  });

  test("that stops is TERMINATED, and serves its circuits again when it comes back", async () => {
    const before = await old();
    const { id, port } = await open(app("a"), undefined, { open_to_public: true });
    await before.stop();
    expect([(await recorded(before))["status"], await page(port)]).toEqual(["TERMINATED", null]);
    const after = await old();
    expect([after.id(), [...after.circuits.keys()], await page(port)]).toEqual([before.id(), [id], "200 a"]);
    expect(await recorded(after)).toMatchObject({ status: "ALIVE", nodes: 1 });
  });

  test("that the coordinator does not know any more registers again", async () => {
    const worker = await old();
    expect((await lone.manager.api("DELETE", `/api/worker/${worker.id()}`)).status).toBe(200);
    await untilStatus(worker, "ALIVE");
    expect(await worker.heartbeat()).toBe(200);
  });
});

describe("an old worker and one of ours with the same authority", () => {
  beforeEach(() => coordinator());

  /** Where the old one says that it is: its API has another port each time. */
  const where = (worker: OldWorker) => ({
    api_advertised_addr: new URL(worker.apiUrl).host,
    api_bind_addr: "127.0.0.1:0",
  });
  function ours(worker: Record<string, unknown>): OurWorker {
    const { redis, manager } = lone;
    return running(
      startOurWorker({ redis, coordinatorUrl: manager.baseUrl, low, worker: { authority: "old-1", ...worker } }),
    );
  }

  test("are two nodes when they say the same of where they are", async () => {
    const first = await old();
    // Its ports are the other's: what it says is what counts here.
    await whole(ours({ ...where(first), port_proxy: { bind_host: "127.0.0.2", advertised_host: "127.0.0.1" } }));
    expect(await recorded(first)).toMatchObject({ authority: "old-1", nodes: 2, hostname: "127.0.0.1" });
    expect(await first.heartbeat()).toBe(200);
  });

  test("are not, when they do not: ours waits until the old one has ended", async () => {
    const first = await old();
    const second = ours({});
    const refusal = await until(() => second.lines.find(({ level }) => level === 50));
    expect(refusal).toMatchObject({ reason: expect.stringMatching(/^authority: "old-1" is a living worker's, which says otherwise: api_port: /) as string }); // prettier-ignore
    expect((await open(app("a"), undefined, { open_to_public: true })).port).toBeGreaterThan(0);
    await first.stop();
    await whole(second);
    expect(await recorded(first)).toMatchObject({ nodes: 1, api_port: second.apiPort });
  });

  test("are not: the old one is refused with 409, and registers as ever when ours has ended", async () => {
    const first = await whole(ours({}));
    const refused = await old().catch(String);
    expect(refused).toStartWith("Error: PUT /api/worker answered 409");
    await first.stop();
    const second = await old();
    expect(await recorded(second)).toMatchObject({ status: "ALIVE", nodes: 1, api_port: Number(new URL(second.apiUrl).port) }); // prettier-ignore
  });
});

describe("an app at an old worker", () => {
  beforeEach(async () => {
    await coordinator();
    await old();
  });

  test("opens from conf to page with the cookie of the original", async () => {
    const { port, link } = await open(app("a"), undefined, { redirect: "/lab?x=1" });
    expect(await page(port)).toBe("401 E20004: Authorization cookie not provided");
    const { location, cookie } = await entered(link);
    expect([location, cookie]).toEqual([
      `http://127.0.0.1:${port}/lab?x=1`,
      `appproxy_permit="${permitOf(USER, PERMIT_SECRET)}"`,
    ]);
    expect(await page(port, { cookie })).toBe("200 a");
    expect(await page(port, { cookie: "appproxy_permit=bm9uZQ==" })).toBe("401 E20005: Invalid authorization cookie");
  });

  test("has a setup token without an audience: it would refuse one that names any", async () => {
    const { link } = await open(app("a"));
    const token = new URL(link).searchParams.get("token") ?? "";
    const claims = decodeJwt(token);
    expect(Object.keys(claims).toSorted()).toEqual(["circuit", "exp", "iat", "id", "jti", "redirect", "version"]);
    const setup = async (other: string) => (await fetch(link.replace(token, other), { redirect: "manual" })).status;
    expect([await setup(token), await setup(await mint({ ...claims, aud: "worker" }, JWT_SECRET))]).toEqual([302, 500]);
  });

  // The original's /setup (26.9.6, worker/api/setup.py) decodes with PyJWT, which lets claims pass that it does not know, and
  // reads `circuit` and `redirect` alone; seen with PyJWT 2.15.1 too.
  test("opens where the setup token tells the site that the person came from", async () => {
    const kernelPort = app("a");
    const { token, sessionId } = await lone.manager.conf({ kernel_port: kernelPort, user_uuid: USER });
    const { body } = await lone.manager.auth(token, sessionId, {}, { Origin: "https://web.example.com" });
    const link = String(body["redirect_url"]);
    expect(decodeJwt(new URL(link).searchParams.get("token") ?? "")["home"]).toBe("https://web.example.com");
    const { location, cookie } = await entered(link);
    expect(await page(Number(new URL(location ?? "").port), { cookie })).toBe("200 a");
  });

  test("is reused by the next request for it", async () => {
    const session = crypto.randomUUID();
    const port = app("a");
    const [first, second] = [await open(port, session), await open(port, session)];
    expect([first.reuse, second.reuse, second.id]).toEqual([false, true, first.id]);
    const { cookie } = await entered(second.link);
    expect(await page(second.port, { cookie })).toBe("200 a");
  });

  test("is closed by its user, or by the Manager", async () => {
    const [worker] = workers;
    const { token, sessionId } = await lone.manager.conf({ kernel_port: app("a") });
    await lone.manager.auth(token, sessionId);
    const { id } = await open(app("b"));
    await until(() => worker?.ports().length === 2);
    const closed = await lone.manager.call("GET", `/v2/proxy/${token}/${sessionId}/delete?app=jupyter`);
    const deleted = await lone.manager.api("DELETE", `/api/circuit/${id}`);
    expect([closed, deleted].map(({ status }: Answer) => status)).toEqual([200, 200]);
    await until(() => worker?.ports().length === 0);
  });

  test("follows its kernel to another place at once, though nobody acknowledges that", async () => {
    const session = crypto.randomUUID();
    const before = await open(app("a"), session, { open_to_public: true });
    // The coordinator notes acknowledgements after 50 ms; until then that of the creation would do for the move too.
    const opened = performance.now();
    await until(() => performance.now() - opened > 200);
    const moved = app("b");
    const start = performance.now();
    const after = await open(moved, session, { open_to_public: true });
    expect(performance.now() - start).toBeLessThan(owed(3000));
    expect([after.id, after.reuse]).toEqual([before.id, true]);
    await until(async () => (await page(after.port)) === "200 b");
    expect(workers[0]?.heard).toEqual(["appproxy_circuit_created_event", "appproxy_circuit_route_updated_event"]);
    // The next request has nothing to change; it asks for the acknowledgement that a change of routes did not get.
    expect(await open(moved, session, { open_to_public: true })).toMatchObject({ id: before.id, reuse: true });
    expect(performance.now() - start).toBeLessThan(owed(4000));
  });

  test("leaves its use in the live data, where the platform looks for it", async () => {
    const session = crypto.randomUUID();
    const { id, port } = await open(app("a"), session, { open_to_public: true });
    for (let count = 0; count < 3; count++) await page(port);
    const live = new Redis(lone.redis.port, "127.0.0.1", { db: 2 });
    stops.push(async () => live.disconnect());
    expect(await live.get(`circuit.${id}.requests`)).toBe("3");
    for (const key of [`circuit.${id}.last_access`, `session.${session}.last_access`])
      expect(Math.abs(Number(await live.get(key)) - Date.now() / 1000)).toBeLessThan(10);
    expect(Number(await live.hget("proxy-worker.last_seen", "old-1"))).toBeGreaterThan(0);
    const { requests, last_access: last } = (await lone.manager.api("GET", `/api/circuit/${id}/statistics`)).body;
    expect(requests).toBe(3);
    expect(Math.abs(Number(last) - Date.now())).toBeLessThan(10_000);
  });
});

test("raw TCP is carried by an old worker for it", async () => {
  await coordinator();
  await old({ protocol: "tcp" });
  const { port, link, reuse } = await open(running(echo()).port, undefined, { app: "sshd", protocol: "tcp" });
  const told = (await (await fetch(link)).json()) as Record<string, string>;
  expect(told["redirect"]).toEndWith(`&proto=tcp&gateway=tcp%3A%2F%2F127.0.0.1%3A${port}`);
  expect([reuse, await echoed(port, "hello")]).toEqual([false, "hello"]);
});

test("an old worker that falls silent is LOST, gets nothing new, and is back with its next heartbeat", async () => {
  await coordinator({ worker_heartbeat_timeout: 1 });
  const worker = await old();
  const session = crypto.randomUUID();
  const { id, port } = await open(app("a"), session, { open_to_public: true });
  worker.silent = true;
  await untilStatus(worker, "LOST");
  expect((await recorded(worker))["nodes"]).toBe(0);
  const { token, sessionId } = await lone.manager.conf({ kernel_port: app("b") });
  expect((await lone.manager.auth(token, sessionId)).status).toBe(503);
  expect(await page(port)).toBe("200 a");
  worker.silent = false;
  await untilStatus(worker, "ALIVE");
  expect((await open(app("c"), session, { open_to_public: true })).id).toBe(id);
});
