/**
 * Proxies in front of a worker, with the lines that operators really use: nginx with `$host`, which drops the port, and with
 * `$http_host`; HAProxy with `option forwardfor`; with and without TLS that ends there. The app is told where the person is, a
 * page's own POST and WebSocket pass, another site's do not.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { startHaproxy, startNginx, type Front, type Way } from "../support/front.ts";
import { freePort } from "../support/ports.ts";

const WITH_FOR = "X-Forwarded-For $proxy_add_x_forwarded_for";
const WITH_PROTO = "X-Forwarded-Proto $scheme";

interface Case {
  what: string;
  tls: boolean;
  trusted: boolean;
  start: (way: Way) => Promise<Front>;
}

const nginx = (...lines: string[]) => (way: Way) => startNginx(way, lines); // prettier-ignore
const haproxy = (...lines: string[]) => (way: Way) => startHaproxy(way, lines); // prettier-ignore

const CASES: Case[] = [
  { what: "nginx with $host", tls: false, trusted: true, start: nginx("Host $host", WITH_FOR, WITH_PROTO, "X-Real-IP $remote_addr") }, // prettier-ignore
  { what: "nginx with $host, not trusted", tls: false, trusted: false, start: nginx("Host $host", WITH_FOR) },
  { what: "nginx with $host and $server_port", tls: true, trusted: true, start: nginx("Host $host", WITH_FOR, WITH_PROTO, "X-Forwarded-Port $server_port") }, // prettier-ignore
  { what: "nginx with $http_host", tls: true, trusted: true, start: nginx("Host $http_host", WITH_FOR, WITH_PROTO) },
  { what: "nginx with $http_host, not trusted", tls: true, trusted: false, start: nginx("Host $http_host") },
  { what: "nginx with its own Host and X-Forwarded-Host", tls: false, trusted: true, start: nginx(WITH_FOR, WITH_PROTO, "X-Forwarded-Host $http_host") }, // prettier-ignore
  { what: "HAProxy with option forwardfor", tls: false, trusted: true, start: haproxy("option forwardfor") },
  { what: "HAProxy that ends TLS", tls: true, trusted: true, start: haproxy("option forwardfor", "http-request set-header X-Forwarded-Proto https", "http-request set-header X-Forwarded-Port %[dst_port]") }, // prettier-ignore
  { what: "HAProxy that ends TLS and says nothing, not trusted", tls: true, trusted: false, start: haproxy() },
];

let certificates: Certificates;
let app: Bun.Server<undefined>;
beforeAll(() => {
  certificates = startCertificates("127.0.0.1");
  writeFileSync(join(certificates.cert, "../both.pem"), readFileSync(certificates.cert, "utf8") + readFileSync(certificates.key, "utf8")); // prettier-ignore
  app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) =>
      server.upgrade(request) ? undefined : Response.json(Object.fromEntries(request.headers)),
    websocket: { message: (socket, message) => void socket.send(message) },
  });
});
afterAll(async () => {
  await app.stop(true);
  certificates.remove();
});

describe.each(CASES)("behind $what", ({ what, tls, trusted, start }) => {
  let cluster: Cluster;
  let front: Front;
  let at: { host: string; origin: string; cookie: string };

  beforeAll(async () => {
    const [port, to] = [await freePort(), await freePort()];
    cluster = await startCluster({
      worker: {
        tls_advertised: tls,
        trusted_proxies: trusted ? ["127.0.0.0/8"] : [],
        port_proxy: {
          bind_host: "127.0.0.1",
          bind_port_range: [to, to],
          advertised_host: "127.0.0.1",
          advertised_port_range: [port, port],
        },
      },
    });
    const pair = what.startsWith("nginx") ? certificates : { ...certificates, cert: join(certificates.cert, "../both.pem") }; // prettier-ignore
    front = await start({ port, to, tls: tls ? pair : undefined });
    const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port ?? 0 });
    const { body } = await cluster.manager.auth(token, sessionId, { app: "jupyter" });
    const setup = await fetch(String(body["redirect_url"]).replace(/^https?:\/\/[^/]*/, cluster.workerApi), { redirect: "manual" }); // prettier-ignore
    const scheme = tls ? "https" : "http";
    const link = setup.headers.get("location") ?? "";
    expect(link).toStartWith(`${scheme}://127.0.0.1:${port}/_appproxy/enter`);
    const entered = await fetch(link, { redirect: "manual", ...INSECURE });
    expect(entered.status).toBe(303);
    const cookie = entered.headers.getSetCookie().map((line) => line.split(";", 1)[0]).join("; "); // prettier-ignore
    at = { host: `127.0.0.1:${port}`, origin: `${scheme}://127.0.0.1:${port}`, cookie };
  });
  afterAll(async () => {
    await front.stop();
    await cluster.stop();
  });

  const post = (origin: string) => fetch(at.origin, { method: "POST", headers: { Cookie: at.cookie, Origin: origin }, ...INSECURE }); // prettier-ignore

  async function opens(origin: string): Promise<boolean> {
    const socket = new WebSocket(at.origin.replace("http", "ws"), { headers: { Cookie: at.cookie, Origin: origin }, ...INSECURE }); // prettier-ignore
    const opened = Promise.withResolvers<boolean>();
    socket.onopen = () => opened.resolve(true);
    socket.onclose = () => opened.resolve(false);
    const outcome = await opened.promise;
    socket.close();
    return outcome;
  }

  test("the app is told where the person is", async () => {
    const answer = await post(at.origin);
    expect(answer.status).toBe(200);
    const seen = (await answer.json()) as Record<string, string>;
    const scheme = tls ? "https" : "http";
    const chain = trusted ? ["127.0.0.1", "127.0.0.1"] : ["127.0.0.1"];
    expect([seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["x-forwarded-port"], seen["x-forwarded-for"]]).toEqual([scheme, at.host, at.host.split(":")[1], chain.join(", ")]); // prettier-ignore
    expect(seen["forwarded"]).toBe(`${chain.map((address) => `for=${address}`).join(", ")};proto=${scheme};host=${at.host}`); // prettier-ignore
    expect(seen["x-real-ip"]).toBeUndefined();
  });

  test("a page of the circuit's own opens WebSockets, another port's or site's does nothing", async () => {
    expect(await opens(at.origin)).toBe(true);
    for (const origin of [`${at.origin.replace(/:\d+$/, "")}:1`, "https://evil.example", "null"])
      expect([(await post(origin)).status, await opens(origin)]).toEqual([403, false]);
  });
});

// --- internal ---

/** The certificate is the test's own. */
const INSECURE = { tls: { rejectUnauthorized: false } };
