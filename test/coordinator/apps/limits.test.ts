/** How many circuits one session and one person may have: exact, also with two coordinators on the database. Real Redis. */
import { beforeEach, describe, expect, test } from "bun:test";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { redisMessengers } from "../../../shared/redis/messengers.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { atEnd } from "../../support/at-end.ts";
import { startFakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { API_SECRET, Manager, newKernel, type Answer } from "../../support/manager.ts";
import { service } from "../../support/model-service.ts";
import { coordinatorToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const ANN = "aaaaaaaa-0000-4000-8000-00000000000a";
const BEN = "bbbbbbbb-0000-4000-8000-00000000000b";
const PORTS = 20;
/** As they are where the file does not say. */
const DEFAULTS = { session_circuits: 16, user_circuits: 64 };

let lone: LoneCoordinator;

async function start(limits: Record<string, number>): Promise<void> {
  lone = await startLoneCoordinator({ coordinator: { worker_heartbeat_timeout: 3600, limits } });
  atEnd(() => lone.stop());
  const both = ["interactive", "inference"];
  const range = { authority: "w", port_range: [30_000, 30_000 + PORTS - 1], accepted_traffics: both };
  const worker = await startFakeWorker(lone.manager, lone.redis.port, range);
  atEnd(() => worker.stop());
}

/** A second coordinator on the same database. */
async function another(): Promise<Manager> {
  const settings = { redisPort: lone.redis.port, coordinator: { limits: DEFAULTS } };
  const config = loadCoordinatorConfig("test", coordinatorToml(lone.database, settings), {}).values;
  const newId = () => crypto.randomUUID();
  const database = openDb(config.db.path, newId);
  const log = silentLog();
  const messengers = redisMessengers(config.redis, createCodec(API_SECRET, false), log);
  const { bus, live } = messengers;
  const coordinator = await startCoordinator({ config, database, bus, live, log, now: Date.now, newId });
  atEnd(async () => {
    await coordinator.stop();
    await messengers.close();
    database.close();
  });
  await until(() => bus.healthy() && live.healthy());
  return new Manager(coordinator.baseUrl);
}

interface Token {
  token: string;
  sessionId: string;
}

const conf = (user: string): Promise<Token> => lone.manager.conf({ ...newKernel(), user_uuid: user });

function open({ token, sessionId }: Token, wish: Record<string, unknown> = {}, at = lone.manager): Promise<Answer> {
  return at.auth(token, sessionId, { no_reuse: true, ...wish });
}

async function circuits(): Promise<number> {
  const { body } = await lone.manager.api("GET", "/api/circuits?limit=1000");
  return (body["circuits"] as unknown[]).length;
}

const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).toSorted();
const times = <T>(count: number, work: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => work(at));
/** So many that were opened, and the others refused. */
const opened = (count: number, of: number) => [...times(count, () => 200), ...times(of - count, () => 429)];

function expectFull({ status, body }: Answer, full: "session" | "user", most: number): void {
  const wanted = { session: "session_id: wanted a session", user: "token: wanted one of a person" }[full];
  expect(status).toBe(429);
  expect(body).toEqual({
    type: "https://api.backend.ai/probs/appproxy/too-many-circuits",
    title: "Too many circuits.",
    error_code: "appproxy_create_limited",
    msg: `${wanted} with fewer than ${most} circuits, got one with ${most}: close apps that are not needed, or open one that is there without no_reuse (the limit is proxy_coordinator.limits.${full}_circuits)`,
    data: { full, open: most, most },
  });
}

test("the defaults are what these tests name", () => {
  const secrets = `[secrets]\napi_secret = "${API_SECRET}"\njwt_secret = "another-secret-0123456789"\n`;
  expect(loadCoordinatorConfig("test", secrets, {}).values.proxy_coordinator.limits).toEqual(DEFAULTS);
}, 60_000);

describe("by default", () => {
  beforeEach(() => start(DEFAULTS));

  test("one token does not take all ports, whatever comes at once, and another person gets one", async () => {
    const token = await conf(ANN);
    const answers = await Promise.all(times(40, () => open(token)));
    expect(statuses(answers)).toEqual(opened(16, 40));
    expectFull(answers.find(({ status }) => status === 429) as Answer, "session", 16);
    expect(await circuits()).toBe(16);
    expect((await open(await conf(BEN))).status).toBe(200);
  }, 60_000);

  test("two coordinators on one database count together", async () => {
    const second = await another();
    const token = await conf(ANN);
    const answers = await Promise.all(times(40, (at) => open(token, {}, at % 2 === 0 ? lone.manager : second)));
    expect(statuses(answers)).toEqual(opened(16, 40));
    expect(await circuits()).toBe(16);
  }, 60_000);

  test("a full session's apps are opened again, and one that is closed makes room", async () => {
    const token = await conf(ANN);
    const answers = await Promise.all(times(16, (at) => open(token, { app: `app-${at}`, no_reuse: false })));
    expect(statuses(answers)).toEqual(opened(16, 16));
    expect((await open(token, { app: "app-3", no_reuse: false })).body["reuse"]).toBe(true);
    expectFull(await open(token, { app: "one-more", no_reuse: false }), "session", 16);
    const path = `/v2/proxy/${token.token}/${token.sessionId}/delete?app=app-3`;
    expect((await lone.manager.call("GET", path)).status).toBe(200);
    expect((await open(token, { app: "one-more" })).status).toBe(200);
    expectFull(await open(token), "session", 16);
  }, 60_000);

  test("what was refused is in the figures", async () => {
    const token = await conf(ANN);
    await Promise.all(times(18, () => open(token)));
    const text = await (await fetch(`${lone.manager.baseUrl}/metrics`)).text();
    const figures = text.match(/^appproxy_coordinator_circuits_refused_total\{.*$/gm)?.toSorted();
    expect(figures).toEqual([
      'appproxy_coordinator_circuits_refused_total{full="session"} 2',
      'appproxy_coordinator_circuits_refused_total{full="user"} 0',
    ]);
  }, 60_000);
});

describe("a person", () => {
  beforeEach(() => start({ session_circuits: 4, user_circuits: 6 }));

  test("has so many over all sessions; another one is not concerned", async () => {
    const sessions = await Promise.all(times(3, () => conf(ANN)));
    const answers = await Promise.all(times(30, (at) => open(sessions[at % 3] as Token)));
    expect(statuses(answers)).toEqual(opened(6, 30));
    expectFull(await open(await conf(ANN)), "user", 6);
    const other = await conf(BEN);
    expect(statuses(await Promise.all(times(6, () => open(other))))).toEqual(opened(4, 6));
    expect(await circuits()).toBe(10);
  }, 60_000);

  test("gets model services beside them, and those count for nothing", async () => {
    const made = async () => {
      const id = crypto.randomUUID();
      return (await lone.manager.api("POST", `/v2/endpoints/${id}`, service({}, {}, { user_uuid: ANN }))).status;
    };
    expect(await Promise.all(times(7, made))).toEqual(times(7, () => 200));
    const sessions = await Promise.all(times(3, () => conf(ANN)));
    const answers = await Promise.all(times(12, (at) => open(sessions[at % 3] as Token)));
    expect(statuses(answers)).toEqual(opened(6, 12));
    expect(await made()).toBe(200);
  }, 60_000);
});

describe("without limits", () => {
  beforeEach(() => start({ session_circuits: 0, user_circuits: 0 }));

  test("a session takes what there is", async () => {
    const token = await conf(ANN);
    const answers = await Promise.all(times(PORTS + 1, () => open(token)));
    expect(statuses(answers)).toEqual([...times(PORTS, () => 200), 503]);
  }, 60_000);
});
