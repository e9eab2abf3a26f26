/**
 * Workers that may open few files, as real processes under `ulimit -n`: whoever opens more connections than there are files for,
 * others are served meanwhile, the node stays in service, and afterwards everything is as before.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { ask, begin, dial, finalHead } from "../contract/client.ts";
import { startStage, type Opened, type Stage } from "../contract/stage.ts";
import { isLetIn } from "../contract/tcp-admission.ts";
import { answer, answering, listen, stopUpstreams, type Upstream } from "../contract/upstreams.ts";
import { handshake, webSocketApp } from "../contract/websocket-peer.ts";
import { closeWires, type Wire } from "../contract/wire.ts";
import { atEnd } from "../support/at-end.ts";
import { owed } from "../support/owed.ts";
import { until } from "../support/until.ts";

const ENGINES = ["serve", "sockets"] as const;
/** The defaults: other tests have none. */
const LIMITS = { address_connections: 0, circuit_connections: 0 };
const MS = 240_000;

afterEach(() => {
  closeWires();
  stopUpstreams();
});

interface Site {
  stage: Stage;
  /** Asks a circuit that nobody else uses; fails unless it is served. */
  served: () => Promise<void>;
  /** All figures of the worker's connections. */
  figures: () => Promise<Record<string, number>>;
}

async function start(engine: (typeof ENGINES)[number], files: number, worker = {}): Promise<Site> {
  const stage = await startStage({ engine, frontend: "port", place: "spawned" }, { files, worker: { limits: LIMITS, ...worker } }); // prettier-ignore
  atEnd(async () => {
    closeWires();
    await stage.stop();
  });
  const isTcp = "protocol" in worker;
  const app = isTcp ? greeter() : answering(answer(200, [], "served"));
  const other = await stage.open({ upstream: app.port, protocol: isTcp ? "tcp" : "http", public: true });
  return {
    stage,
    async served() {
      if (isTcp) expect(await isLetIn(other.port)).toBe(true);
      else expect((await ask(other, "/")).head.status).toBe(200);
      const ready = await fetch(`http://127.0.0.1:${stage.apiPort()}/health/readyz`);
      expect(ready.status).toBe(200);
    },
    async figures() {
      const text = await (await fetch(`http://127.0.0.1:${stage.apiPort()}/metrics`)).text();
      const lines = text.matchAll(/^appproxy_worker_(\w*connections\w*(?:\{[^}]*\})?) (\S+)$/gm);
      return Object.fromEntries([...lines].map(([, name, value]) => [name, Number(value)]));
    },
  };
}

/** So many connections at once, which say `what`. The worker may close them as they come. */
async function flood(port: number, count: number, what = "", hostname?: string): Promise<Wire[]> {
  const wires: Wire[] = [];
  for (let at = 0; at < count; at += 50) {
    const some = Array.from({ length: Math.min(50, count - at) }, () => dial(port, hostname).catch(() => null));
    for (const wire of await Promise.all(some)) if (wire !== null) wires.push(wire);
  }
  if (what !== "") await Promise.all(wires.map((wire) => wire.send(what).catch(() => undefined)));
  return wires;
}

/** An app that says something first, and ends with its client. */
function greeter(): Upstream {
  return listen(async (wire) => {
    await wire.send("hello");
    await wire.wait(() => wire.ended !== null, "the end", MS);
    wire.close();
  });
}

/** For some seconds, which is longer than any look at files takes to come. */
async function stays({ served }: Site): Promise<void> {
  for (const end = performance.now() + 4000; performance.now() < end; await Bun.sleep(100)) await served();
}

/** Who has come is gone, and everything is as it was. */
async function recovers({ stage, served, figures }: Site, before: number): Promise<void> {
  closeWires();
  await until(() => stage.fds() <= before + 20, owed(20_000), "the files to be free again");
  await until(async () => (await figures())["connections"] === 0, owed(20_000), "no connection to be counted");
  await served();
  expect(stage.lines.filter(({ level }) => level === "error")).toEqual([]);
}

const crowding = ({ lines }: Stage) =>
  lines.filter(({ msg }) => String(msg).startsWith("no room for connections")).length;

describe.each(ENGINES)("engine %s", (engine) => {
  test.each([
    ["one address", ["127.0.0.1"]],
    ["two addresses", ["127.0.0.1", "::1"]],
  ])(
    "1,480 silent connections of %s, to 1,500 files",
    async (_what, addresses) => {
      const site = await start(engine, 1500, { port_proxy: { bind_host: "::" } });
      const { stage, served, figures } = site;
      expect(stage.lines).toContainEqual(
        expect.objectContaining({ msg: "room for 638 connections: 1500 files, 224 kept back" }),
      );
      const app = answering(answer(200, [], "answered"));
      const to = await stage.open({ upstream: app.port });
      await served();
      const before = stage.fds();
      for (const address of addresses) await flood(to.port, 1480 / addresses.length, "", address);
      await stays(site);
      expect(stage.fds()).toBeLessThan(1500);
      // Those that have had an answer, too.
      const request = `GET / HTTP/1.1\r\nHost: ${to.host}\r\nCookie: ${to.cookie}\r\n\r\n`;
      for (const address of addresses) await flood(to.port, 1480 / addresses.length, request, address);
      await stays(site);
      expect(stage.fds()).toBeLessThan(1500);
      const seen = await figures();
      expect(seen["connections_limit"]).toBe(638);
      // Bun's own server lets them have what is left of the files, and closes by itself who says nothing for 12 s.
      const closed = engine === "serve" ? 40 : 2 * (1480 - 638);
      expect(seen['idle_connections_closed_total{side="client"}']).toBeGreaterThanOrEqual(closed);
      expect(crowding(stage)).toBe(1);
      await recovers(site, before);
    },
    MS,
  );

  test(
    "700 WebSockets of one permit, to 1,024 files",
    async () => {
      const site = await start(engine, 1024);
      const { stage, served, figures } = site;
      const app = webSocketApp();
      const to = await stage.open({ upstream: app.port });
      await served();
      const before = stage.fds();
      const statuses: number[] = [];
      for (let at = 0; at < 700; at += 50)
        statuses.push(...(await Promise.all(Array.from({ length: 50 }, () => upgrade(to)))));
      // One circuit has half of the room.
      expect(statuses.filter((status) => status === 101).length).toBe(200);
      expect(new Set(statuses)).toEqual(new Set([101, 429]));
      await stays(site);
      expect(await figures()).toMatchObject({
        connections_limit: 400,
        'connections_refused_total{full="circuit"}': 500,
      });
      expect(crowding(stage)).toBe(1);
      await recovers(site, before);
      expect(await upgrade(to)).toBe(101);
    },
    MS,
  );

  test(
    "1,200 idle TCP connections of anybody, to 1,024 files",
    async () => {
      const site = await start(engine, 1024, { protocol: "tcp", tcp_auth: "none" });
      const { stage, served, figures } = site;
      const app = greeter();
      const to = await stage.open({ upstream: app.port, protocol: "tcp" });
      await served();
      const before = stage.fds();
      const wires = await flood(to.port, 1200);
      await until(() => wires.filter(({ received }) => received > 0).length === 200, owed(20_000));
      await stays(site);
      expect(wires.filter(({ ended }) => ended === null).length).toBe(200);
      expect(await figures()).toMatchObject({ connections: 200, 'connections_refused_total{full="circuit"}': 1000 });
      expect(crowding(stage)).toBe(1);
      await recovers(site, before);
      expect(await isLetIn(to.port)).toBe(true);
    },
    MS,
  );

  test(
    "1,200 idle connections to the worker's own API, on 1,024 files",
    async () => {
      const site = await start(engine, 1024);
      const { stage, served } = site;
      await served();
      const before = stage.fds();
      await flood(stage.apiPort(), 1200);
      await stays(site);
      expect(stage.fds()).toBeLessThan(1024);
      await recovers(site, before);
    },
    MS,
  );
});

test("more connections than there are files for stop the start, and tell how many there may be", async () => {
  const started = await start("serve", 1024, { limits: { connections: 500 } }).catch(String);
  expect(started).toContain("proxy_worker.limits.connections: 500 was given; wanted at most 400");
});

/** Status of a handshake; an opened WebSocket stays. */
async function upgrade(to: Opened): Promise<number> {
  const wire = await begin(to, "/", { headers: handshake() });
  const { status } = await finalHead(wire);
  if (status !== 101) wire.close();
  return status;
}
