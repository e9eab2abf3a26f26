/**
 * Workers whose machine's clock is not the coordinator's, as processes under libfaketime: people are let in all the same,
 * two nodes that differ accept each other's tickets and permits, and a clock that is off by hours is told of.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { mintSetupToken, SETUP_LIFETIME } from "../../shared/protocol/jwt.ts";
import { liveKeys } from "../../shared/live/live.ts";
import { LIVE_DB } from "../../shared/live/redis.ts";
import { startApp } from "../support/app.ts";
import { JWT_SECRET, Manager } from "../support/manager.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnService, type Service } from "../support/spawned.ts";
import { coordinatorToml, workerToml } from "../support/toml.ts";
import { accepts, until } from "../support/until.ts";
import { atEnd } from "../support/at-end.ts";

const MINUTE = 60;
const stack = new AsyncDisposableStack();
let directory: string;
let redis: RedisServer;
let manager: Manager;
let live: Redis;

/** Debian's `faketime` knows where its library lies. */
const library = new TextDecoder()
  .decode(Bun.spawnSync(["faketime", "-f", "+0s", "sh", "-c", "echo $LD_PRELOAD"]).stdout)
  .trim();

interface Shifted {
  /** The offset is read from it all the time. */
  file?: string;
  authority?: string;
  app_filters: unknown[];
  low?: number;
  host?: string;
  port?: number;
}

/** A worker of its own whose clock is off by so many seconds. */
async function startShifted(
  seconds: number,
  { file, authority = `worker-${seconds}`, app_filters, low, host = "127.0.0.1", port }: Shifted,
): Promise<{ service: Service; api: string; stop: () => Promise<number> }> {
  const first = low ?? (await freeRange(4));
  const api = `${host}:${port ?? (await freePort())}`;
  const path = join(directory, `${api}.toml`);
  const own = {
    authority,
    api_bind_addr: api,
    // Two nodes of one worker say the same of where it is.
    api_advertised_addr: `127.0.0.1:${api.split(":")[1]}`,
    app_filters,
    filtered_apps_only: true,
    port_proxy: { bind_host: host, bind_port_range: [first, first + 3] },
  };
  writeFileSync(path, workerToml(manager.baseUrl, first, 4, { redisPort: redis.port, worker: own }));
  const shift = seconds < 0 ? `${seconds}` : `+${seconds}`;
  const service = spawnService("worker/main.ts", ["--config", path], {
    env: {
      LD_PRELOAD: library,
      // Timers go by this one, and nobody sets it.
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      ...(file === undefined ? { FAKETIME: shift } : { FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: "1" }),
    },
  });
  stack.defer(async () => void (await service.stop("SIGKILL")));
  await service.said("circuits are known");
  return { service, api: `http://${api}`, stop: () => service.stop("SIGKILL") };
}

/** A session that only the worker with this filter takes. */
function sessionOf(): { session: string; app_filters: unknown[] } {
  const session = crypto.randomUUID();
  return { session, app_filters: [{ key: "session.id", value: session }] };
}

async function health(api: string) {
  const answer = await fetch(`${api}/health`);
  return (await answer.json()) as { status: string; checks: { clock: string }; clock_skew_seconds: number | null };
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-clock-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  redis = await startRedis();
  stack.defer(() => redis.stop());
  live = new Redis({ port: redis.port, db: LIVE_DB });
  stack.defer(() => live.disconnect());
  const port = await freePort();
  const path = join(directory, "coordinator.toml");
  const own = { bind_addr: `127.0.0.1:${port}` };
  writeFileSync(path, coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator: own }));
  const coordinator = spawnService("coordinator/main.ts", ["--config", path]);
  stack.defer(async () => void (await coordinator.stop("SIGKILL")));
  await coordinator.said("coordinator is up");
  manager = new Manager(`http://127.0.0.1:${port}`);
});
afterAll(() => stack.disposeAsync());

describe("a worker whose clock is off", () => {
  test.each([90, -90, 50 * MINUTE, -50 * MINUTE])("by %d s lets people in, and says so", async (seconds) => {
    const app = startApp();
    stack.defer(() => app.stop());
    const { session, app_filters } = sessionOf();
    const worker = await startShifted(seconds, { app_filters });
    atEnd(() => worker.stop());
    const person = await manager.enter({ kernel_port: app.port, session_id: session });
    const answer = await fetch(`${person.origin}/`, { headers: { Cookie: person.cookie } });
    expect(answer.status).toBe(200);
    // What came while it began to listen is fetched again: its circuits may be unknown for a moment.
    const { checks, clock_skew_seconds: skew } = await until(async () => {
      const now = await health(worker.api);
      return now.status === "ok" && now;
    });
    expect(checks.clock).toBe("corrected");
    expect(Math.abs((skew ?? 0) - seconds)).toBeLessThan(3);
    const metrics = await (await fetch(`${worker.api}/metrics`)).text();
    expect(Number(/^appproxy_worker_clock_skew_seconds(?:\{.*\})? (\S+)$/m.exec(metrics)?.[1])).toBeCloseTo(
      skew ?? 0,
      -1,
    );
    const lines = worker.service.lines.filter(({ msg }) => String(msg).includes("clock differs"));
    expect(lines).toHaveLength(1);
    // The platform compares it with Redis' own time (the Manager's network_timeout checker).
    const told = await until(async () => await live.get(liveKeys.sessionAccess(session)));
    expect(Math.abs(Number(told) - Date.now() / 1000)).toBeLessThan(30);
    // What is old is old by the coordinator's clock, too.
    const claims = { id: person.token, circuit: person.circuitId, redirect: "" };
    const minted = (age: number) => mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now() - age * 1000);
    const setup = async (age: number) =>
      (await fetch(`${worker.api}/setup?token=${await minted(age)}`, { redirect: "manual" })).status;
    expect(await setup(SETUP_LIFETIME + 15)).toBe(401);
    expect(await setup(SETUP_LIFETIME - 15)).toBe(302);
  });

  test("by two hours is not corrected, and says that people can't be let in", async () => {
    const { session, app_filters } = sessionOf();
    const worker = await startShifted(120 * MINUTE, { app_filters });
    atEnd(() => worker.stop());
    const { token, sessionId } = await manager.conf({ kernel_port: 1, session_id: session });
    const opened = await manager.auth(token, sessionId);
    expect((await fetch(String(opened.body["redirect_url"]), { redirect: "manual" })).status).toBe(401);
    expect(await health(worker.api)).toMatchObject({ status: "degraded", checks: { clock: "wrong" } });
    const line = await worker.service.said(
      "this machine's clock differs by more than an hour from the coordinator's: not corrected for, and people can't be let in. Set it",
    );
    expect(Math.abs(Number(line["skew_seconds"]) - 7200)).toBeLessThan(3);
  });

  test("is set while it runs: at once it is corrected for, and told once", async () => {
    const app = startApp();
    stack.defer(() => app.stop());
    const { session, app_filters } = sessionOf();
    const file = join(directory, "offset");
    writeFileSync(file, "+0");
    const worker = await startShifted(0, { file, app_filters, authority: "set" });
    atEnd(() => worker.stop());
    expect(await health(worker.api)).toMatchObject({ checks: { clock: "right" }, clock_skew_seconds: 0 });
    const wish = { kernel_port: app.port, session_id: session };
    for (const offset of ["+300", "-1500", "+0"]) {
      writeFileSync(file, offset);
      // Before the next look: the steady clock has not been set.
      const person = await manager.enter(wish, { no_reuse: true });
      expect((await fetch(person.origin, { headers: { Cookie: person.cookie } })).status).toBe(200);
      expect(Math.abs(((await health(worker.api)).clock_skew_seconds ?? 0) - Number(offset))).toBeLessThan(3);
      await manager.api("DELETE", `/api/circuit/${person.circuitId}`);
    }
  });
});

test("two nodes of a worker a hundred minutes apart accept each other's tickets and permits", async () => {
  const app = startApp();
  stack.defer(() => app.stop());
  const { session, app_filters } = sessionOf();
  const port = await freePort();
  const low = await freeRange(4);
  const hosts = ["127.0.0.1", "127.0.0.2"] as const;
  for (const [at, seconds] of [50 * MINUTE, -50 * MINUTE].entries())
    await startShifted(seconds, { authority: "pair", app_filters, low, host: hosts[at] ?? "", port });
  const person = await manager.conf({ kernel_port: app.port, session_id: session });
  for (const [one, other] of [hosts, hosts.toReversed()] as [string, string][]) {
    const opened = await manager.auth(person.token, person.sessionId);
    const setup = String(opened.body["redirect_url"]).replace(/127\.0\.0\.\d/, one);
    const ticket = String((await fetch(setup, { redirect: "manual" })).headers.get("location"));
    // One node's word is enough for an opening; the other one is told at the same time.
    await Promise.all(hosts.map((host) => until(() => accepts(Number(new URL(ticket).port), host))));
    const entered = await fetch(ticket.replace(/127\.0\.0\.\d/, other), { redirect: "manual" });
    expect(entered.status).toBe(303);
    const cookie = String(entered.headers.getSetCookie()[0]?.split(";", 1)[0]);
    const origin = new URL(ticket).port;
    for (const host of hosts)
      expect((await fetch(`http://${host}:${origin}/`, { headers: { Cookie: cookie } })).status).toBe(200);
    // The ticket was used at one of them, and lives for a minute by both clocks.
    expect((await fetch(ticket, { redirect: "manual" })).status).toBe(401);
  }
});
