/**
 * Workers are replaced while people use them: a supervisor starts a second process on the same ports, which takes over.
 * Port, wildcard and TCP workers under fresh connections, kept ones and WebSockets: nobody notices but by a 1012.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCertificates } from "../support/certificates.ts";
import { follow } from "../support/manager.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { spawnService } from "../support/spawned.ts";
import { askAnew, echoAnew, KeptConnection, steadily } from "../support/steady.ts";
import { reload, Site, told, type Supervised } from "../support/supervised.ts";
import { workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { talk } from "../support/websocket.ts";
import { atEnd } from "../support/at-end.ts";

const SOCKETS = 12;
const RELOADS = 3;
/**
 * What is under way may finish for so long, and is cut then, which its client sees as a connection that was lost: longer than
 * a connection takes from its first byte to its last on a machine with ten processes for each processor.
 */
const FINISH_SECONDS = 10;
/** The same for the test that waits for WebSockets to be closed over all of it, three times. */
const SPREAD_SECONDS = 8;

let site: Site;
beforeAll(async () => void (site = await Site.start()));
afterAll(() => site.stop());

/** How much later than the first each was closed, in order; all with 1012. */
async function closings(sockets: Awaited<ReturnType<typeof talk>>[]): Promise<number[]> {
  const times = await Promise.all(
    sockets.map(async ({ closed }) => {
      expect((await closed).code).toBe(1012);
      return performance.now();
    }),
  );
  const sorted = times.toSorted((a, b) => a - b);
  return sorted.map((at) => at - (sorted[0] ?? 0));
}

test("port mode: no request is lost, permits and links work on, WebSockets are closed one after the other", async () => {
  const worker = await site.supervise("upgrade-port", { shutdown_timeout: SPREAD_SECONDS });
  atEnd(() => worker.service.stop());
  const circuits = await Promise.all(
    Array.from({ length: 4 }, () => site.manager.enter(site.kernel(), { app: "jupyter" })),
  );
  const targets = circuits.map(({ origin, cookie }) => ({
    port: Number(new URL(origin).port),
    head: `Host: ${new URL(origin).host}\r\nCookie: ${cookie}\r\n`,
  }));
  const target = (client: number) => targets[client % targets.length] as (typeof targets)[number];
  const kept = Array.from({ length: 12 }, () => new KeptConnection());
  const askKept = (client: number) =>
    kept[client]?.ask(target(client).port, target(client).head) ?? Promise.resolve("no such client");
  const [circuit] = circuits;
  if (circuit === undefined) throw new Error("no circuit");
  const loads = {
    fresh: steadily(24, (client) => askAnew(target(client).port, target(client).head)),
    kept: steadily(8, askKept),
    // Now and then a request: what idles between must not be closed under it.
    idle: steadily(4, async (client) => {
      await Bun.sleep(150);
      return askKept(client + 8);
    }),
    links: steadily(1, async () => {
      const opened = await site.manager.auth(circuit.token, circuit.sessionId);
      const entered = await follow(String(opened.body["redirect_url"])).catch(String);
      return typeof entered !== "string" && entered.origin === circuit.origin ? null : JSON.stringify(entered);
    }),
  };
  const spreads: { last: number; gap: number }[] = [];
  for (let round = 1; round <= RELOADS; round++) {
    const sockets = await Promise.all(
      Array.from({ length: SOCKETS }, () =>
        talk(`${circuit.origin.replace("http", "ws")}/ws`, {
          headers: { cookie: circuit.cookie, origin: circuit.origin },
        }),
      ),
    );
    expect(sockets.map(({ opened }) => opened)).toEqual(sockets.map(() => true));
    const [times] = await Promise.all([closings(sockets), reload(worker)]);
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    spreads.push({ last: times.at(-1) ?? 0, gap: Math.max(...gaps) });
    expect(await site.nodesOf(worker.authority)).toBe(1);
    const more = await site.manager.enter(site.kernel());
    expect((await fetch(more.origin, { headers: { cookie: more.cookie } })).status).toBe(200);
  }
  // One round tells how they are spread: in another this process may itself have been kept waiting.
  const isSpread = ({ last, gap }: (typeof spreads)[number]) =>
    last > SPREAD_SECONDS * 400 && last < SPREAD_SECONDS * 1000 && gap < SPREAD_SECONDS * 500;
  expect(spreads).toSatisfy((rounds) => rounds.some(isSpread));
  await Promise.all(Object.values(loads).map((load) => load.stop()));
  expect(Object.values(loads).map(({ failures }) => failures)).toEqual([[], [], [], []]);
  for (const load of Object.values(loads)) expect(load.done()).toBeGreaterThan(20);
  expect(new Set(told(worker, "worker started").map((line) => line["pid"])).size).toBe(RELOADS + 1);
  expect(await worker.service.stop()).toBe(0);
}, 420_000);

test("wildcard mode with TLS, whose certificate is renewed meanwhile, and TCP: no connection is lost", async () => {
  const certificates = startCertificates("first");
  site.defer(() => certificates.remove());
  const [wildcardPort, domain] = [await freePort(), ".apps.example.com"];
  const wild = await site.supervise("upgrade-wild", {
    frontend_mode: "wildcard",
    shutdown_timeout: FINISH_SECONDS,
    tls_listen: true,
    tls_cert: certificates.cert,
    tls_privkey: certificates.key,
    wildcard_domain: { domain, bind_addr: `127.0.0.1:${wildcardPort}` },
  });
  atEnd(() => wild.service.stop());
  const raw = await site.supervise("upgrade-tcp", {
    protocol: "tcp",
    tcp_auth: "none",
    shutdown_timeout: FINISH_SECONDS,
  });
  atEnd(() => raw.service.stop());
  const echo = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, bytes) => void socket.write(bytes), error: () => undefined },
  });
  atEnd(() => echo.stop(true));
  const { host, head } = await enterWildcard(wildcardPort);
  expect(host).toEndWith(domain);
  const gateway = await openTcp(echo.port);
  const kept = Array.from({ length: 4 }, () => new KeptConnection(true));
  const loads = {
    fresh: steadily(12, () => askAnew(wildcardPort, head, true)),
    kept: steadily(4, (client) => kept[client]?.ask(wildcardPort, head) ?? Promise.resolve("no such client")),
    tcp: steadily(12, () => echoAnew(gateway)),
  };
  for (let round = 1; round <= RELOADS; round++) {
    const reloads = [reload(wild), reload(raw)];
    // Both processes see them, the old one with its second listener on the port.
    if (round < RELOADS) certificates.issue(`renewed ${round}`);
    await Promise.all(reloads);
  }
  await Promise.all(Object.values(loads).map((load) => load.stop()));
  expect(Object.values(loads).map(({ failures }) => failures)).toEqual([[], [], []]);
  for (const load of Object.values(loads)) expect(load.done()).toBeGreaterThan(100);
  expect([await site.nodesOf(wild.authority), await site.nodesOf(raw.authority)]).toEqual([1, 1]);
  expect([await wild.service.stop(), await raw.service.stop()]).toEqual([0, 0]);
}, 420_000);

describe("a successor", () => {
  test("that can't start, or does not serve in time, leaves the old one serving", async () => {
    const worker = await site.supervise("upgrade-broken", {}, ["--ready-within", "4"]);
    atEnd(() => worker.service.stop());
    const entered = await site.manager.enter(site.kernel());
    const served = async () => (await fetch(entered.origin, { headers: { cookie: entered.cookie } })).status;
    const good = readFileSync(worker.file, "utf8");
    const pid = told(worker, "worker started")[0]?.["pid"];

    writeFileSync(worker.file, good.replace("heartbeat_period = 1", 'heartbeat_period = "now and then"'));
    worker.service.process.kill("SIGHUP");
    await worker.service.said("new worker process ended before it was ready; the old one goes on");
    expect(await served()).toBe(200);

    writeFileSync(worker.file, good.replace(site.manager.baseUrl, "http://127.0.0.1:1"));
    worker.service.process.kill("SIGHUP");
    expect(await worker.service.said("new worker process was not ready in time and is stopped")).toMatchObject({ within_ms: 4000 }); // prettier-ignore
    await until(() => told(worker, "new worker process ended before it was ready; the old one goes on").length === 2);
    expect(await served()).toBe(200);
    expect(told(worker, "old worker process has ended")).toEqual([]);

    writeFileSync(worker.file, good);
    await reload(worker);
    expect(await served()).toBe(200);
    expect(told(worker, "new worker process is ready; the old one drains")).toMatchObject([{ predecessor: pid }]);
    expect(await worker.service.stop()).toBe(0);
  });

  test("without a supervisor gets no connection before it takes over, also when it is killed, and then all", async () => {
    const { file, authority } = await site.configure("upgrade-alone", { share_ports: true });
    const run = async () => {
      const service = spawnService("worker/main.ts", ["--config", file]);
      await service.said("circuits are known");
      return service;
    };
    const first = await run();
    const { origin, cookie } = await site.manager.enter(site.kernel());
    const { port, host } = new URL(origin);
    const load = steadily(12, () => askAnew(Number(port), `Host: ${host}\r\nCookie: ${cookie}\r\n`));
    for (let round = 1; round <= 3; round++) expect(await (await run()).stop("SIGKILL")).toBeGreaterThan(0);
    const second = await run();
    const third = spawnService("worker/main.ts", ["--config", file]);
    expect(await third.process.exited).toBe(1);
    expect(await third.stderr).toContain(`worker "${authority}" is being taken over already; wait until the older process has ended`); // prettier-ignore
    expect(await first.stop()).toBe(0);
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(await second.stop()).toBe(0);
    // Those that were killed could not say that they go: until their leases end they would get the other tests' circuits.
    await until(async () => (await site.nodesOf(authority)) === 0);
  });
});

test("a supervisor that is killed takes its worker with it, in order", async () => {
  const worker = await site.supervise("upgrade-orphan");
  atEnd(() => worker.service.stop());
  expect(await site.nodesOf(worker.authority)).toBe(1);
  worker.service.process.kill("SIGKILL");
  await until(() => told(worker, "worker is down").length > 0);
  expect(await site.nodesOf(worker.authority)).toBe(0);
});

describe("a foreign process", () => {
  let worker: Supervised;
  beforeAll(async () => void (worker = await site.supervise("upgrade-host")));
  afterAll(async () => void (await worker.service.stop()));

  test.each([
    ["of another authority", { authority: "other", share_ports: true }, 'it is in use by worker "upgrade-host", not by "other"; each authority needs an address of its own'], // prettier-ignore
    ["of this authority, but without sharing", { share_ports: false }, "in use"],
  ])(
    "%s is refused the API port",
    async (_, change, reason) => {
      const file = join(site.directory, "foreign.toml");
      const own = { authority: worker.authority, api_bind_addr: `127.0.0.1:${worker.apiPort}`, ...change };
      writeFileSync(
        file,
        workerToml(site.manager.baseUrl, await freeRange(4), 4, { redisPort: site.redis.port, worker: own }),
      );
      const foreign = spawnService("worker/main.ts", ["--config", file]);
      expect(await foreign.process.exited).toBe(1);
      const said = await foreign.stderr;
      expect(said).toContain(`Cannot listen on 127.0.0.1:${worker.apiPort} (proxy_worker.api_bind_addr)`);
      expect(said).toContain(reason);
    },
    30_000,
  );

  test("with an address of its own is refused a circuit's port that this worker holds", async () => {
    const { origin, cookie } = await site.manager.enter(site.kernel());
    const port = Number(new URL(origin).port);
    const user_uuid = crypto.randomUUID();
    const foreign = await site.supervise("upgrade-foreign", {
      port_proxy: { bind_port_range: [port, port] },
      app_filters: [{ key: "session.user_uuid", value: user_uuid }],
    });
    atEnd(() => foreign.service.stop());
    const { token, sessionId } = await site.manager.conf({ ...site.kernel(), user_uuid });
    const asked = site.manager.auth(token, sessionId);
    const refused = await foreign.service.said(`Cannot open port ${port} for a circuit; trying again every few seconds`); // prettier-ignore
    expect(refused["reason"]).toBe(`port ${port} is in use by another process`);
    expect((await asked).status).toBe(503);
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    expect(await foreign.service.stop()).toBe(0);
  });
});

// --- internal ---

/** Enters a circuit under the wildcard domain, whose names nothing resolves here. Gives what its requests begin with. */
async function enterWildcard(port: number): Promise<{ host: string; head: string }> {
  const { token, sessionId } = await site.manager.conf(site.kernel());
  const opened = await site.manager.auth(token, sessionId);
  const tls = { rejectUnauthorized: false };
  const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual", tls });
  const entry = new URL(setup.headers.get("location") ?? "");
  const entered = await fetch(`https://127.0.0.1:${port}${entry.pathname}${entry.search}`, {
    tls,
    redirect: "manual",
    headers: { host: entry.host },
  });
  const cookie = entered.headers.getSetCookie().map((line) => line.split(";", 1)[0]).join("; "); // prettier-ignore
  return { host: entry.hostname, head: `Host: ${entry.host}\r\nCookie: ${cookie}\r\n` };
}

/** Opens a TCP circuit to a port; gives the circuit's. */
async function openTcp(port: number): Promise<number> {
  const { token, sessionId } = await site.manager.conf({ kernel_port: port });
  const opened = await site.manager.auth(token, sessionId, { app: "sshd", protocol: "tcp" });
  const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual" });
  const { redirectURI } = (await setup.json()) as { redirectURI: string };
  return Number(new URL(new URL(redirectURI).searchParams.get("gateway") ?? "").port);
}
