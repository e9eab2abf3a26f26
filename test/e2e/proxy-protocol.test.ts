/**
 * HAProxy in front of a worker, with `send-proxy` and `send-proxy-v2`: it connects from 127.0.0.9, which is a trusted proxy; its
 * clients come from 127.0.0.1 and ::1, and that is what the worker and its apps learn of them. Its health checks pass.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dial } from "../contract/client.ts";
import { isLetIn, letIn } from "../contract/tcp-admission.ts";
import { startStage, type Opened, type Stage } from "../contract/stage.ts";
import { listen, stopUpstreams } from "../contract/upstreams.ts";
import { closeWires } from "../contract/wire.ts";
import { mintSetupToken } from "../../shared/protocol/jwt.ts";
import { startApp, type App } from "../support/app.ts";
import { atEnd } from "../support/at-end.ts";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { startHaproxy } from "../support/front.ts";
import { JWT_SECRET } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";

const PROXY = "127.0.0.9";
const WORKER = { accept_proxy_protocol: true, trusted_proxies: [PROXY] };
const SHAPE = { engine: "sockets", frontend: "port", place: "spawned" } as const;
const MIB = 1024 * 1024;

/** What HAProxy adds to its connections; the last one has TLVs. */
const VERSIONS = ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"];
const CLIENTS = ["127.0.0.1", "::1"];

let certificates: Certificates;
let both: string;
beforeAll(() => {
  certificates = startCertificates("me");
  both = join(certificates.cert, "../both.pem");
  writeFileSync(both, readFileSync(certificates.cert, "utf8") + readFileSync(certificates.key, "utf8"));
});
afterAll(() => certificates.remove());
afterEach(() => {
  closeWires();
  stopUpstreams();
});

/** What the app tells of a request. */
interface Seen {
  headers: Record<string, string>;
}

/** What `/setup` tells of a TCP circuit. */
interface Told {
  allowed: { address: string }[];
  second_look?: string;
}

interface Wish {
  mode: "http" | "tcp";
  server: string;
  tls?: boolean;
}

/** Gives HAProxy's port. */
async function inFront(to: Opened, { mode, server, tls = false }: Wish): Promise<number> {
  const port = await freePort();
  const way = {
    port,
    to: to.port,
    mode,
    // A busy machine may miss some checks.
    server: `source ${PROXY} check inter 50ms fall 100 ${server}`,
  };
  const pair = { cert: both, key: certificates.key };
  const lines = [`bind [::1]:${port}${tls ? ` ssl crt ${both}` : ""}`, "unique-id-format %{+X}o\\ %ci:%cp"];
  const front = await startHaproxy(
    tls ? { ...way, tls: pair } : way,
    mode === "http" ? ["option forwardfor", ...lines] : lines,
  );
  atEnd(() => front.stop());
  return port;
}

const refusals = (stage: Stage) => stage.lines.filter(({ key }) => key === "proxy_worker.accept_proxy_protocol");

describe("HTTP", () => {
  let stage: Stage;
  let secure: Stage;
  let app: App;
  beforeAll(async () => {
    app = startApp();
    stage = await startStage(SHAPE, { worker: WORKER });
    const tls = { tls_listen: true, tls_advertised: true, tls_cert: certificates.cert, tls_privkey: certificates.key };
    secure = await startStage(SHAPE, { worker: { ...WORKER, ...tls } });
  });
  afterAll(async () => {
    await stage.stop();
    await secure.stop();
    await app.stop();
  });

  /** Status, and what the app was told of the client. */
  async function ask(to: Opened, port: number, client: string, scheme = "http"): Promise<unknown[]> {
    const host = client.includes(":") ? `[${client}]` : client;
    const answer = await fetch(`${scheme}://${host}:${port}/headers`, {
      headers: Object.fromEntries(to.headers()),
      tls: { rejectUnauthorized: false },
    });
    const text = await answer.text();
    return [answer.status, answer.ok ? (JSON.parse(text) as Seen).headers["x-forwarded-for"] : text];
  }

  const open = (where: Stage, client: string) => where.open({ upstream: app.port, allowedClientIps: client });

  describe.each(VERSIONS)("with %s", (server) => {
    test.each(CLIENTS)("the client is %s, whether HAProxy reads the requests or passes bytes", async (client) => {
      for (const mode of ["http", "tcp"] as const) {
        const to = await open(stage, client);
        const port = await inFront(to, { mode, server });
        for (let at = 0; at < 3; at++) expect(await ask(to, port, client)).toEqual([200, client]);
      }
    });

    test("TLS ends at the worker, HAProxy's own TLS too", async () => {
      const to = await open(secure, "::1");
      const passed = await inFront(to, { mode: "tcp", server });
      expect(await ask(to, passed, "::1", "https")).toEqual([200, "::1"]);
      const anew = await inFront(to, { mode: "http", server: `${server} ssl verify none`, tls: true });
      expect(await ask(to, anew, "::1", "https")).toEqual([200, "::1"]);
    });
  });

  test("its health checks are no fault, and without the header it gets nothing", async () => {
    const to = await open(stage, "127.0.0.1");
    await inFront(to, { mode: "tcp", server: "send-proxy-v2" });
    await inFront(to, { mode: "tcp", server: "send-proxy" });
    await Bun.sleep(500);
    expect(refusals(stage)).toEqual([]);
    const port = await inFront(to, { mode: "http", server: "" });
    expect((await ask(to, port, "127.0.0.1"))[0]).toBe(502);
    await until(() => refusals(stage).length > 0);
    expect(refusals(stage)).toMatchObject([{ peer: PROXY, reason: "it begins as neither version does" }]);
  });
});

describe("raw TCP", () => {
  let stage: Stage;
  beforeAll(async () => void (stage = await startStage(SHAPE, { worker: { ...WORKER, protocol: "tcp" } })));
  afterAll(() => stage.stop());

  describe.each(VERSIONS)("with %s", (server) => {
    test.each(CLIENTS)("the client is %s; bytes and ends pass whole", async (client) => {
      const app = listen((wire) => {
        // One after the other: what a full way leaves of one would come behind the next.
        let sent = Promise.resolve();
        wire.stream((bytes) => void (sent = sent.then(() => wire.send(bytes))));
        void wire.end().then(async () => {
          await sent;
          wire.close();
        });
      });
      const to = await stage.open({ upstream: app.port, protocol: "tcp", public: true, allowedClientIps: client });
      const payload = Buffer.alloc(5 * MIB, "0123456789");
      const wire = await dial(await inFront(to, { mode: "tcp", server }), client);
      await Promise.all([
        wire.send(payload).then(() => wire.finish()),
        wire.wait(() => wire.received === payload.length, "all of it"),
      ]);
      expect((await wire.rest()).equals(payload)).toBe(true);
    });

    test("who has passed /setup may come, by the address that HAProxy tells", async () => {
      const to = await stage.open({ upstream: listen((wire) => wire.send("hello")).port, protocol: "tcp" });
      // By 127.0.0.1, from where the test comes to the worker's API.
      expect((await letIn(stage, to)).status).toBe(200);
      const port = await inFront(to, { mode: "tcp", server });
      expect((await (await dial(port, "127.0.0.1")).read(5)).toString()).toBe("hello");
      const other = await dial(port, "::1");
      await other.end();
      expect(other.received).toBe(0);
    });
  });

  test("a client's other address may come after a second look, by the addresses that HAProxy tells", async () => {
    const api = await freePort();
    const known = { api_advertised_addr_ipv4: `127.0.0.1:${api}`, api_advertised_addr_ipv6: `[::1]:${api}` };
    const looking = await startStage(SHAPE, { worker: { ...WORKER, ...known, protocol: "tcp" } });
    atEnd(() => looking.stop());
    const way = { port: api, to: looking.apiPort(), mode: "http", server: `source ${PROXY}` } as const;
    const front = await startHaproxy(way, [`bind [::1]:${api}`, "option forwardfor"]);
    atEnd(() => front.stop());
    const to = await looking.open({ upstream: listen((wire) => wire.send("hello")).port, protocol: "tcp" });
    const port = await inFront(to, { mode: "tcp", server: "send-proxy-v2" });
    const claims = { id: crypto.randomUUID(), circuit: to.circuit.id, redirect: "" };
    const token = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());
    const told = async (url: string) => (await (await fetch(url)).json()) as Told;

    const { second_look: look = "" } = await told(`http://[::1]:${api}/setup?token=${token}`);
    expect([await isLetIn(port, "::1"), await isLetIn(port, "127.0.0.1")]).toEqual([true, false]);
    const { allowed } = await told(look);
    expect(allowed.map(({ address }) => address)).toEqual(["::1", "127.0.0.1"]);
    expect([await isLetIn(port, "::1"), await isLetIn(port, "127.0.0.1")]).toEqual([true, true]);
  });
});
