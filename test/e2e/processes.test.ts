/**
 * A worker with two processes under one supervisor (`proxy_worker.processes`): both serve, what was let in at one may use the
 * other, one that dies leaves the rest serving, and both are replaced without anybody noticing.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { listenersAt } from "../../worker/listeners/linux-sockets.ts";
import { startCertificates } from "../support/certificates.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { ROOT, spawnService } from "../support/spawned.ts";
import { askAnew, echoAnew, KeptConnection, steadily } from "../support/steady.ts";
import { Site, told, type Supervised } from "../support/supervised.ts";
import { until } from "../support/until.ts";
import { talk } from "../support/websocket.ts";
import { atEnd } from "../support/at-end.ts";

/** What is under way may finish for so long: as in upgrade.test.ts. */
const FINISH_SECONDS = 10;
/** A replacement of both under load, on a machine that has much else to do. Milliseconds. */
const LONG_MS = 240_000;

let site: Site;
beforeAll(async () => void (site = await Site.start()));
afterAll(() => site.stop());

async function start(authority: string, worker: Record<string, unknown> = {}) {
  const supervised = await site.supervise(authority, { processes: 2, ...worker });
  atEnd(() => supervised.service.stop());
  await until(async () => (await serving(supervised)).size === 2, LONG_MS, "both processes serve");
  return supervised;
}

/** A figure of each process, as one of them tells it. */
async function figures({ apiPort }: Pick<Supervised, "apiPort">, name: string): Promise<Map<string, number>> {
  const answer = await fetch(`http://127.0.0.1:${apiPort}/metrics`, { keepalive: false }).catch(() => null);
  const text = (await answer?.text()) ?? "";
  const lines = text.matchAll(new RegExp(`^${name}\\{.*process="(\\d+)".*\\} (\\S+)$`, "gm"));
  return new Map([...lines].map(([, process = "", value]) => [process, Number(value)]));
}

const serving = (worker: Pick<Supervised, "apiPort">) => figures(worker, "appproxy_worker_requests_total");
/** The figures of both: one that does not answer in time is left out. */
const bothServing = (worker: Pick<Supervised, "apiPort">) =>
  until(async () => {
    const found = await serving(worker);
    return found.size === 2 ? found : null;
  }, LONG_MS);
const pidsOf = (worker: Supervised, number: number) =>
  told(worker, "worker started").flatMap(({ process, pid }) => (process === number ? [Number(pid)] : []));
const endedOf = (worker: Supervised) => told(worker, "old worker process has ended").length;

/** Replaces both; resolves when the older ones have ended. */
async function reloadBoth(worker: Supervised): Promise<void> {
  const before = endedOf(worker);
  worker.service.process.kill("SIGHUP");
  await until(() => endedOf(worker) === before + 2, LONG_MS, "both processes are replaced");
}

function headOf({ origin, cookie }: { origin: string; cookie: string }) {
  const { port, host } = new URL(origin);
  return { port: Number(port), head: `Host: ${host}\r\nCookie: ${cookie}\r\n` };
}

describe("two processes", () => {
  let worker: Supervised;
  beforeAll(async () => {
    worker = await site.supervise("processes-two", { processes: 2 });
    await until(async () => (await serving(worker)).size === 2, LONG_MS, "both processes serve");
  });
  afterAll(async () => void (await worker.service.stop()));

  test("are one worker with two nodes, and share its connections", async () => {
    // One that was killed counts until its lease ends.
    await until(async () => (await site.nodesOf(worker.authority)) === 2);
    const entered = await site.manager.enter(site.kernel());
    const before = await bothServing(worker);
    const { port, head } = headOf(entered);
    const all = await Promise.all(Array.from({ length: 60 }, () => askAnew(port, head)));
    expect(all.filter((failure) => failure !== null)).toEqual([]);
    const after = await bothServing(worker);
    const gained = ["1", "2"].map((process) => (after.get(process) ?? 0) - (before.get(process) ?? 0));
    expect(gained[0]).toBeGreaterThan(0);
    expect(gained[1]).toBeGreaterThan(0);
    // The entry of a person is answered by the worker itself, and is no use.
    expect((gained[0] ?? 0) + (gained[1] ?? 0)).toBe(60);
  });

  test("count the uses of a circuit together", async () => {
    const { circuitId, ...entered } = await site.manager.enter(site.kernel());
    const { port, head } = headOf(entered);
    await Promise.all(Array.from({ length: 40 }, () => askAnew(port, head)));
    const statistics = () => site.manager.api("GET", `/api/circuit/${circuitId}/statistics`);
    const counted = await until(async () => {
      const { body } = await statistics();
      return Number(body["requests"]) >= 40 && body;
    });
    expect(counted["requests"]).toBe(40);
  });

  test("answer for themselves over the API, and tell who they are", async () => {
    const told = new Set<string>();
    await until(async () => {
      const answer = await fetch(`http://127.0.0.1:${worker.apiPort}/health`, { keepalive: false });
      const { status, process, processes } = (await answer.json()) as Record<string, unknown>;
      told.add(JSON.stringify({ status, process, processes }));
      return told.size === 2;
    });
    expect([...told].toSorted()).toEqual([1, 2].map((process) => JSON.stringify({ status: "ok", process, processes: 2 }))); // prettier-ignore
  });

  test("let in at whichever it was set up: links, permits, WebSockets; and a ticket only once", async () => {
    for (let round = 0; round < 20; round++) {
      const { token, sessionId } = await site.manager.conf(site.kernel());
      const opened = await site.manager.auth(token, sessionId);
      const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual", keepalive: false });
      const entry = setup.headers.get("location") ?? "";
      const enter = () => fetch(entry, { redirect: "manual", keepalive: false });
      const all = await Promise.all([enter(), enter(), enter()]);
      const [first, ...others] = all.filter(({ status }) => status === 303);
      expect(others).toEqual([]);
      const cookie = first?.headers.getSetCookie().map((line) => line.split(";", 1)[0]).join("; ") ?? ""; // prettier-ignore
      const { port, head } = headOf({ origin: new URL(entry).origin, cookie });
      expect(await Promise.all([askAnew(port, head), askAnew(port, head), askAnew(port, head)])).toEqual([null, null, null]); // prettier-ignore
      if (round > 4) continue;
      const socket = await talk(`ws://127.0.0.1:${port}/ws`, { headers: { cookie, origin: new URL(entry).origin } });
      expect(socket.opened).toBe(true);
      socket.close();
    }
  });

  test(
    "lose only what one that is killed carries: the other serves on, and the supervisor starts it again",
    async () => {
      const entered = await site.manager.enter(site.kernel());
      const { port, head } = headOf(entered);
      // One has said that it serves the circuit; the other hears of it as well.
      await until(() => listenersAt("127.0.0.1", port).length === 2);
      const before = steadily(12, () => askAnew(port, head));
      atEnd(() => before.stop());
      await until(() => before.done() > 50);
      expect(before.failures).toEqual([]);
      process.kill(pidsOf(worker, 2).at(-1) ?? 0, "SIGKILL");
      await worker.service.said("the worker has ended by itself; starting it again");
      // Until its sockets are closed the kernel gave it connections, and reset them then; it refused none.
      await before.stop();
      expect(before.failures.filter((failure) => failure.includes("ECONNREFUSED"))).toEqual([]);
      // Whoever comes from then on is served: by the other one, and when it is back, by both.
      const after = steadily(12, () => askAnew(port, head));
      atEnd(() => after.stop());
      await until(async () => pidsOf(worker, 2).length === 2 && (await serving(worker)).size === 2, LONG_MS);
      const [done, mine] = [after.done(), (await serving(worker)).get("2") ?? 0];
      await until(async () => after.done() > done + 100 && ((await serving(worker)).get("2") ?? 0) > mine + 10);
      await after.stop();
      expect(after.failures).toEqual([]);
    },
    LONG_MS,
  );
});

describe("a reload", () => {
  test("replaces both, one after the other: no connection is refused or reset, WebSockets come back", async () => {
    const worker = await start("processes-reload", { shutdown_timeout: FINISH_SECONDS });
    const raw = await start("processes-tcp", { protocol: "tcp", shutdown_timeout: FINISH_SECONDS });
    const echo = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket, bytes) => void socket.write(bytes), error: () => undefined },
    });
    atEnd(() => echo.stop(true));
    const entered = await site.manager.enter(site.kernel());
    const { port, head } = headOf(entered);
    const gateway = await openTcp(echo.port);
    const kept = Array.from({ length: 8 }, () => new KeptConnection());
    const loads = {
      fresh: steadily(16, () => askAnew(port, head)),
      kept: steadily(8, (client) => kept[client]?.ask(port, head) ?? Promise.resolve("no such client")),
      api: steadily(2, () => askAnew(worker.apiPort, "Host: worker\r\n")),
      tcp: steadily(8, () => echoAnew(gateway)),
    };
    const { origin, cookie } = entered;
    const open = () => talk(`${origin.replace("http", "ws")}/ws`, { headers: { origin, cookie } });
    const sockets = await Promise.all(Array.from({ length: 6 }, open));
    expect(sockets.map(({ opened }) => opened)).toEqual(sockets.map(() => true));
    for (let round = 0; round < 2; round++) {
      await Promise.all([reloadBoth(worker), reloadBoth(raw)]);
      expect([await site.nodesOf(worker.authority), await site.nodesOf(raw.authority)]).toEqual([2, 2]);
      const more = await site.manager.enter(site.kernel());
      expect((await fetch(more.origin, { headers: { cookie: more.cookie } })).status).toBe(200);
    }
    await Promise.all(Object.values(loads).map((load) => load.stop()));
    expect(Object.values(loads).map(({ failures }) => failures)).toEqual([[], [], [], []]);
    for (const load of Object.values(loads)) expect(load.done()).toBeGreaterThan(100);
    expect(await Promise.all(sockets.map(async ({ closed }) => (await closed).code))).toEqual(sockets.map(() => 1012));
    // Nobody is left out afterwards: both have the new connections again.
    const before = await bothServing(worker);
    await Promise.all(Array.from({ length: 60 }, () => askAnew(port, head)));
    const after = await bothServing(worker);
    for (const process of ["1", "2"]) expect(after.get(process) ?? 0).toBeGreaterThan(before.get(process) ?? 0);
    expect([await worker.service.stop(), await raw.service.stop()]).toEqual([0, 0]);
  }, 900_000);

  test(
    "whose first process does not serve replaces none",
    async () => {
      const worker = await start("processes-broken");
      const entered = await site.manager.enter(site.kernel());
      const good = readFileSync(worker.file, "utf8");
      writeFileSync(worker.file, good.replace("heartbeat_period = 1", 'heartbeat_period = "now and then"'));
      worker.service.process.kill("SIGHUP");
      await worker.service.said("a new worker process does not serve; the others stay as well");
      const { port, head } = headOf(entered);
      expect(await askAnew(port, head)).toBeNull();
      expect([pidsOf(worker, 1).length, pidsOf(worker, 2).length]).toEqual([2, 1]);
      writeFileSync(worker.file, good);
      await reloadBoth(worker);
      expect(await askAnew(port, head)).toBeNull();
      expect(await worker.service.stop()).toBe(0);
    },
    LONG_MS,
  );

  test(
    "may change what the worker says of itself: a process of each kind is no contradiction",
    async () => {
      const worker = await start("processes-facts");
      const filters = [{ key: "session.domain_name", value: "processes" }];
      const file = readFileSync(worker.file, "utf8");
      const added = 'app_filters = [{ key = "session.domain_name", value = "processes" }]';
      writeFileSync(worker.file, file.replace("[proxy_worker]", `[proxy_worker]\n${added}`));
      await reloadBoth(worker);
      await until(async () => (await site.nodesOf(worker.authority)) === 2);
      const { workers } = (await site.manager.api("GET", "/api/worker")).body as { workers: Record<string, unknown>[] };
      const recorded = workers.find(({ authority }) => authority === worker.authority);
      expect(recorded).toMatchObject({ status: "ALIVE", app_filters: filters });
      expect(worker.service.lines.filter(({ level }) => level === "error")).toEqual([]);
      expect(await worker.service.stop()).toBe(0);
    },
    LONG_MS,
  );
});

test("a certificate that is renewed replaces the processes of a wildcard worker, and no connection is lost", async () => {
  const certificates = startCertificates("first");
  site.defer(() => certificates.remove());
  const [port, domain] = [await freePort(), ".apps.example.com"];
  const tls = { tls_listen: true, tls_cert: certificates.cert, tls_privkey: certificates.key };
  const wildcard = { frontend_mode: "wildcard", wildcard_domain: { domain, bind_addr: `127.0.0.1:${port}` } };
  const worker = await site.supervise("processes-wild", { processes: 2, engine: "sockets", shutdown_timeout: FINISH_SECONDS, ...tls, ...wildcard }); // prettier-ignore
  atEnd(() => worker.service.stop());
  await until(async () => (await site.nodesOf(worker.authority)) === 2, LONG_MS, "two nodes");
  const heads: string[] = [];
  for (let round = 0; round < 5; round++) heads.push(await enterWildcard(port));
  const load = steadily(10, (client) => askAnew(port, heads[client % heads.length] ?? "", true));
  await until(() => load.done() > 20);
  certificates.issue("second");
  await until(() => endedOf(worker) === 2, LONG_MS, "both are replaced");
  const served = await Promise.all(Array.from({ length: 20 }, () => nameAt(port)));
  expect([...new Set(served)]).toEqual(["second"]);
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(await worker.service.stop()).toBe(0);
}, 600_000);

test(
  "TCP: an address that was let in at one process may connect to the other",
  async () => {
    const raw = await start("processes-setup", { protocol: "tcp" });
    const echo = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket, bytes) => void socket.write(bytes), error: () => undefined },
    });
    atEnd(() => echo.stop(true));
    for (let round = 0; round < 10; round++) {
      const gateway = await openTcp(echo.port);
      expect(await Promise.all(Array.from({ length: 4 }, () => echoAnew(gateway)))).toEqual([null, null, null, null]);
    }
    expect(await raw.service.stop()).toBe(0);
  },
  LONG_MS,
);

test(
  "a port on which a foreign process listens is opened by none, though that would share it",
  async () => {
    const low = await freeRange(2);
    // Bun's types leave it out.
    const shared = { hostname: "127.0.0.1", port: low, reusePort: true };
    const foreign = Bun.listen({ ...shared, socket: { data: () => undefined } });
    atEnd(() => foreign.stop(true));
    const worker = await start("processes-foreign", { port_proxy: { bind_port_range: [low, low + 1] } });
    const entered = await site.manager.enter(site.kernel());
    const { port, head } = headOf(entered);
    expect(port).toBe(low + 1);
    expect(await Promise.all(Array.from({ length: 10 }, () => askAnew(port, head)))).toEqual(Array.from({ length: 10 }, () => null)); // prettier-ignore
    expect(listenersAt("127.0.0.1", low).length).toBe(1);
    expect(await until(() => listenersAt("127.0.0.1", port).length === 2)).toBe(true);
    expect(await worker.service.stop()).toBe(0);
  },
  LONG_MS,
);

test("a worker on its own refuses several processes, and says what starts them", async () => {
  const { file } = await site.configure("processes-alone", { processes: 2 });
  const alone = spawnService("worker/main.ts", ["--config", file]);
  expect(await alone.process.exited).toBe(1);
  expect(await alone.stderr).toContain("proxy_worker.processes: 2 was given to a worker on its own; wanted 1, or a start (no reload) with `bun run supervise`"); // prettier-ignore
  const checked = Bun.spawnSync([process.execPath, "worker/main.ts", "--config", file, "--check"], { cwd: ROOT });
  expect(checked.exitCode).toBe(0);
});

// --- internal ---

/** The name in the certificate that is served. */
function nameAt(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
    resolve(String(socket.getPeerCertificate().subject.CN));
    socket.destroy();
  });
  socket.on("error", reject);
  return promise;
}

/** Enters a circuit under the wildcard domain, whose names nothing resolves here. Gives what its requests begin with. */
async function enterWildcard(port: number): Promise<string> {
  const { token, sessionId } = await site.manager.conf(site.kernel());
  const opened = await site.manager.auth(token, sessionId);
  const how = { redirect: "manual", keepalive: false, tls: { rejectUnauthorized: false } } as const;
  const setup = await fetch(String(opened.body["redirect_url"]), how);
  const entry = new URL(setup.headers.get("location") ?? "");
  const { host } = entry;
  const entered = await fetch(`https://127.0.0.1:${port}${entry.pathname}${entry.search}`, {
    ...how,
    headers: { host },
  });
  const cookie = entered.headers.getSetCookie().map((line) => line.split(";", 1)[0]).join("; "); // prettier-ignore
  return `Host: ${host}\r\nCookie: ${cookie}\r\n`;
}

/** Opens a TCP circuit to a port; gives the circuit's. */
async function openTcp(port: number): Promise<number> {
  const { token, sessionId } = await site.manager.conf({ kernel_port: port });
  const opened = await site.manager.auth(token, sessionId, { app: "sshd", protocol: "tcp" });
  const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual", keepalive: false });
  const { redirectURI } = (await setup.json()) as { redirectURI: string };
  return Number(new URL(new URL(redirectURI).searchParams.get("gateway") ?? "").port);
}
