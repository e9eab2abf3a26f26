/** What clients meet when there is no room: for their circuit, their address, the worker. Whole workers, in both engines. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ask, begin, dial, finalHead, requestHead } from "../../contract/client.ts";
import { startStage, type Opened, type Stage, type Wish } from "../../contract/stage.ts";
import { answer, answering, app, stopUpstreams, type Upstream } from "../../contract/upstreams.ts";
import { connect, handshake, webSocketApp } from "../../contract/websocket-peer.ts";
import { closeWires, type Wire } from "../../contract/wire.ts";
import { startCertificates, type Certificates } from "../../support/certificates.ts";
import { until } from "../../support/until.ts";

const ENGINES = ["serve", "sockets"] as const;
type Engine = (typeof ENGINES)[number];

function useStage(
  engine: Engine,
  limits: Record<string, number>,
  worker: Record<string, unknown> = {},
  frontend: "port" | "wildcard" = "port",
): () => Stage {
  let stage: Stage;
  beforeAll(async () => {
    const options = { worker: { limits, ...worker } };
    stage = await startStage({ engine, frontend, place: "in process" }, options);
  });
  afterAll(async () => {
    closeWires();
    stopUpstreams();
    await stage.stop();
  });
  return () => stage;
}

/** An app that keeps its answers to itself. */
function silent(): Upstream {
  return app(({ wire }) => wire.wait(() => wire.closed, "the end", 600_000));
}

/** Requests that are under way. */
async function underWay(to: Opened, upstream: Upstream, count: number): Promise<Wire[]> {
  const before = upstream.asked.length;
  const wires = await Promise.all(Array.from({ length: count }, () => begin(to, "/")));
  await until(() => upstream.asked.length === before + count);
  return wires;
}

/** How many connections the worker has counted. */
async function counted(stage: Stage, scheme = "http"): Promise<number> {
  const url = `${scheme}://127.0.0.1:${stage.apiPort()}/metrics`;
  const text = await (await fetch(url, { tls: { rejectUnauthorized: false } })).text();
  return Number(/^appproxy_worker_connections (\d+)$/m.exec(text)?.[1]);
}

/** Resolves when a request is served. */
async function servedSoon(to: Opened): Promise<void> {
  await until(async () => (await ask(to, "/").catch(() => null))?.head.status === 200);
}

async function refusedAs(to: Opened, status: number, msg: string): Promise<void> {
  const { head, body } = await ask(to, "/", { headers: [["Accept", "application/json"]] });
  expect([head.status, head.get("retry-after")]).toEqual([status, "5"]);
  expect(JSON.parse(body.bytes.toString())).toMatchObject({
    type: "https://api.backend.ai/probs/appproxy/too-many-connections",
    title: "Too many connections.",
    msg,
  });
}

const OF_CIRCUIT = "This app has too many connections; close some, or try again";
const OF_SESSION = "The apps of this session have too many connections; close some, or try again";
const OF_USER = "The apps of this user have too many connections; close some, or try again";
const OF_ADDRESS = "Your address has too many connections; close some, or try again";
const OF_WORKER = "This worker has no room for more connections; try again";

const ANN = "aaaaaaaa-0000-4000-8000-00000000000a";
const BEN = "bbbbbbbb-0000-4000-8000-00000000000b";

/** An app that this person has opened, of the session of this number. */
function openOf(stage: Stage, user: string, session: number, { port }: Upstream, wish: Wish = {}): Promise<Opened> {
  const circuit = { user_id: user, session_ids: [`5e5e5e5e-0000-4000-8000-00000000000${session}`] };
  return stage.open({ upstream: port, circuit, ...wish });
}

/** How many the worker has refused, by what was full. */
async function refusedSoFar(stage: Stage, full: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${stage.apiPort()}/metrics`)).text();
  const figure = new RegExp(`^appproxy_worker_connections_refused_total\\{full="${full}"\\} (\\d+)$`, "m").exec(text);
  return Number(figure?.[1]);
}

describe.each(ENGINES)("engine %s", (engine) => {
  describe.each(["port", "wildcard"] as const)("a session and a person, each circuit at a %s", (frontend) => {
    const limits = { session_connections: 3, user_connections: 5 };
    const stage = useStage(engine, limits, {}, frontend);

    test("have so many requests and WebSockets under way over all their circuits; another person gets through", async () => {
      const [waiting, sockets, ready] = [silent(), webSocketApp(), answering(answer(200, [], "ok"))];
      const first = await openOf(stage(), ANN, 1, waiting);
      const second = await openOf(stage(), ANN, 1, ready);
      const third = await openOf(stage(), ANN, 2, sockets);
      const fourth = await openOf(stage(), ANN, 3, ready);
      const wires = await underWay(first, waiting, 3);
      await refusedAs(second, 429, OF_SESSION);
      expect((await ask(fourth, "/")).head.status).toBe(200);
      await connect(third);
      const peer = await connect(third);
      const refused = await finalHead(await begin(third, "/", { headers: handshake() }));
      expect([refused.status, sockets.asked.length]).toEqual([429, 2]);
      await refusedAs(fourth, 429, OF_USER);
      expect([await refusedSoFar(stage(), "session"), await refusedSoFar(stage(), "user")]).toEqual([1, 2]);
      // Another one, a model service of hers, and who has closed something.
      const theirs = [
        await openOf(stage(), BEN, 4, ready),
        await openOf(stage(), ANN, 1, ready, { appMode: "inference", public: true }),
      ];
      for (const to of theirs) expect((await ask(to, "/")).head.status).toBe(200);
      await connect(await openOf(stage(), BEN, 5, sockets));
      wires[0]?.reset();
      await servedSoon(second);
      peer.wire.reset();
      await servedSoon(fourth);
      // What was open of a circuit that has gone does not count.
      await stage().close(first);
      await underWay(await openOf(stage(), ANN, 1, waiting), waiting, 3);
    });
  });

  describe("a circuit", () => {
    const stage = useStage(engine, { circuit_connections: 3 });

    test("has so many requests and WebSockets under way; another circuit is not concerned", async () => {
      const [waiting, sockets] = [silent(), webSocketApp()];
      const to = await stage().open({ upstream: waiting.port });
      const other = await stage().open({ upstream: answering(answer(200, [], "ok")).port });
      const wires = await underWay(to, waiting, 3);
      await refusedAs(to, 429, OF_CIRCUIT);
      expect((await ask(other, "/")).head.status).toBe(200);
      wires[0]?.reset();
      await until(() => waiting.open() === 2);
      await underWay(to, waiting, 1);
      const talking = await stage().open({ upstream: sockets.port });
      const peers = [await connect(talking), await connect(talking), await connect(talking)];
      const refused = await finalHead(await begin(talking, "/", { headers: handshake() }));
      expect([refused.status, sockets.asked.length]).toEqual([429, 3]);
      peers[0]?.wire.reset();
      await until(() => connect(talking).catch(() => null));
    });

    test("a person gets a page, in their language, and nothing of it is in the log but at debug", async () => {
      const waiting = silent();
      const to = await stage().open({ upstream: waiting.port });
      await underWay(to, waiting, 3);
      const page = (await ask(to, "/", { headers: [["Accept", "text/html"], ["Accept-Language", "ko"]] })).body; // prettier-ignore
      expect(page.bytes.toString()).toContain("연결이 너무 많습니다");
      const english = await ask(to, "/", { headers: [["Accept", "text/html"]] });
      expect(english.body.bytes.toString()).toContain("Too many connections");
      const id = english.head.get("x-error-id");
      expect(stage().lines.find((line) => line["error_id"] === id)).toMatchObject({ level: 20 });
    });
  });

  describe("an address", () => {
    const stage = useStage(engine, { address_connections: 3 });

    test("has so many connections in use, whatever circuit they are of", async () => {
      const waiting = silent();
      const to = await stage().open({ upstream: waiting.port });
      const other = await stage().open({ upstream: answering(answer(200, [], "ok")).port });
      const wires = await underWay(to, waiting, 3);
      await refusedAs(other, 429, OF_ADDRESS);
      wires[0]?.reset();
      await servedSoon(other);
    });
  });

  describe("an address of trusted_proxies", () => {
    const stage = useStage(engine, { address_connections: 3 }, { trusted_proxies: ["127.0.0.1"] });

    test("has as many as there are", async () => {
      const waiting = silent();
      const to = await stage().open({ upstream: waiting.port });
      await underWay(to, waiting, 10);
    });
  });

  describe("a worker", () => {
    const stage = useStage(engine, { connections: 3 });

    test("has so many connections in use", async () => {
      const waiting = silent();
      const to = await stage().open({ upstream: waiting.port });
      const other = await stage().open({ upstream: answering(answer(200, [], "ok")).port });
      const wires = await underWay(to, waiting, 3);
      await refusedAs(other, 503, OF_WORKER);
      wires[0]?.reset();
      await servedSoon(other);
    });
  });

  describe("a TCP worker", () => {
    const worker = { protocol: "tcp", tcp_auth: "none" };
    const stage = useStage(engine, { connections: 4, circuit_connections: 3 }, worker);

    test("closes who comes when its circuit or the worker is full", async () => {
      const echo = app(() => undefined);
      const [to, other] = [await stage().open({ upstream: echo.port, protocol: "tcp" }), await stage().open({ upstream: echo.port, protocol: "tcp" })]; // prettier-ignore
      const wires = await Promise.all([1, 2, 3].map(() => dial(to.port)));
      await until(() => echo.wires.length === 3);
      const fourth = await dial(to.port);
      expect(await fourth.rest()).toEqual(Buffer.alloc(0));
      wires.push(await dial(other.port));
      await until(() => echo.wires.length === 4);
      const fifth = await dial(other.port).catch(() => null);
      await fifth?.rest();
      expect(echo.wires.length).toBe(4);
      for (const wire of wires) wire.reset();
      await until(async () => {
        const wire = await dial(other.port).catch(() => null);
        await Bun.sleep(20);
        return wire?.ended === null;
      });
    });
  });
});

describe.each(ENGINES)("engine %s, over TCP", (engine) => {
  const worker = { protocol: "tcp", tcp_auth: "none" };
  const stage = useStage(engine, { session_connections: 2, user_connections: 3 }, worker);

  test("closes who comes when the session or the person has enough; another person gets through", async () => {
    const echo = app(() => undefined);
    const tcp = { protocol: "tcp" } as const;
    const first = await openOf(stage(), ANN, 1, echo, tcp);
    const second = await openOf(stage(), ANN, 1, echo, tcp);
    const third = await openOf(stage(), ANN, 2, echo, tcp);
    const joined = async (to: Opened) => {
      const before = echo.wires.length;
      const wire = await dial(to.port);
      await until(() => echo.wires.length === before + 1);
      return wire;
    };
    const turnedAway = async (to: Opened) => expect(await (await dial(to.port)).rest()).toEqual(Buffer.alloc(0));
    const wires = [await joined(first), await joined(second)];
    await turnedAway(first);
    await joined(third);
    await turnedAway(third);
    expect([echo.wires.length, await refusedSoFar(stage(), "session"), await refusedSoFar(stage(), "user")]).toEqual([3, 1, 1]); // prettier-ignore
    await joined(await openOf(stage(), BEN, 3, echo, tcp));
    wires[0]?.reset();
    // The worker sees the end a moment later.
    await until(async () => {
      const before = echo.wires.length;
      const wire = await dial(third.port).catch(() => null);
      await until(() => wire === null || wire.ended !== null || echo.wires.length > before);
      return echo.wires.length > before;
    });
  });
});

describe("engine sockets, which sees connections that say nothing", () => {
  const stage = useStage("sockets", { connections: 5, address_connections: 4 });

  test("the longest silent one of an address makes way, also one that has had its answer", async () => {
    const to = await stage().open({ upstream: answering(answer(200, [], "ok")).port });
    const first = await dial(to.port);
    // Old clients send an empty line behind a request (RFC 9112 §2.2): that makes them no busier.
    await first.send(`${requestHead(to, "/")}\r\n`);
    expect((await finalHead(first)).status).toBe(200);
    const others = [await dial(to.port), await dial(to.port), await dial(to.port)];
    const next = await begin(to, "/");
    expect((await finalHead(next)).status).toBe(200);
    await first.wait(() => first.ended !== null, "the end");
    expect(others.map(({ ended }) => ended)).toEqual([null, null, null]);
    // One that says half a head is idle, too.
    await others[1]?.send("GET / HT");
    const last = [await begin(to, "/"), await begin(to, "/")];
    for (const wire of last) expect((await finalHead(wire)).status).toBe(200);
    await until(() => others[1]?.ended !== null);
    expect([others[0]?.ended, others[2]?.ended]).toEqual(["end", null]);
  });
});

describe("engine sockets behind a proxy with PROXY headers", () => {
  const worker = { trusted_proxies: ["127.0.0.1"], accept_proxy_protocol: true };
  const stage = useStage("sockets", { address_connections: 1, connections: 4 }, worker);

  test("the address that the header tells counts, and connections without a header hold no place", async () => {
    const waiting = silent();
    const to = await stage().open({ upstream: waiting.port });
    const from = async (address: string) => {
      const wire = await dial(to.port);
      await wire.send(`PROXY TCP4 ${address} 127.0.0.1 1000 80\r\n${requestHead(to, "/")}`);
      return wire;
    };
    await from("10.0.0.1");
    await until(() => waiting.asked.length === 1);
    expect((await finalHead(await from("10.0.0.1"))).status).toBe(429);
    await from("10.0.0.2");
    await until(() => waiting.asked.length === 2);
    // Neither waiting for a header nor one that is none holds a place for longer than it lasts.
    const bad = await Promise.all(["NONE\r\n", "NONE\r\n", "NONE\r\n"].map(async (text) => {
      const wire = await dial(to.port);
      // It may have made way for the next one by now.
      await wire.send(text).catch(() => undefined);
      return wire;
    })); // prettier-ignore
    for (const wire of bad) await wire.wait(() => wire.closed || wire.ended !== null, "the end");
    await until(async () => (await counted(stage())) === 2);
    for (const address of ["10.0.0.3", "10.0.0.4"]) await from(address);
    await until(() => waiting.asked.length === 4);
  });
});

describe("engine sockets with TLS", () => {
  let certificates: Certificates;
  let stage: Stage;
  beforeAll(async () => {
    certificates = startCertificates("me");
    const tls = { tls_listen: true, tls_advertised: true, tls_cert: certificates.cert, tls_privkey: certificates.key };
    const shape = { engine: "sockets", frontend: "port", place: "in process" } as const;
    stage = await startStage(shape, { worker: { ...tls, limits: { connections: 3 } } });
  });
  afterAll(async () => {
    closeWires();
    stopUpstreams();
    await stage.stop();
    certificates.remove();
  });

  test("connections that begin no handshake make way, and one in use is answered for", async () => {
    const to = await stage.open({ upstream: answering(answer(200, [], "ok")).port });
    const wires: Wire[] = [];
    for (let at = 0; at < 10; at++) wires.push(await dial(to.port));
    await until(() => wires.filter(({ ended }) => ended !== null).length === 7);
    for (let at = 0; at < 10; at++) {
      const answer = await fetch(to.url("/"), { headers: Object.fromEntries(to.headers()), tls: { rejectUnauthorized: false }, keepalive: at % 2 === 0 }); // prettier-ignore
      expect(answer.status).toBe(200);
    }
    for (const wire of wires) wire.reset();
    closeWires();
    // What `fetch` keeps for later.
    await until(async () => (await counted(stage, "https")) <= 1);
  });
});
