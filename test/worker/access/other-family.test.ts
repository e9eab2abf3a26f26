/** A link that comes again over the other family: the first client is known again, and another one is not (security 4). Real sockets. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import type { Shape } from "../../contract/shapes.ts";
import { startStage, type Opened, type Stage } from "../../contract/stage.ts";
import { greeter, isLetIn } from "../../contract/tcp-admission.ts";
import { stopUpstreams } from "../../contract/upstreams.ts";
import { startApp, type App } from "../../support/app.ts";
import { JWT_SECRET } from "../../support/manager.ts";
import { freePort } from "../../support/ports.ts";

const SHAPE: Shape = { engine: "serve", frontend: "port", place: "in process" };
const [ME4, ME6] = ["203.0.113.9", "2001:db8::9"];
const [STRANGER4, STRANGER6] = ["198.51.100.7", "2001:db8:bad::7"];

type Headers = Record<string, string>;

async function dualStack(worker: Record<string, unknown>): Promise<Stage> {
  const port = await freePort();
  return startStage(SHAPE, {
    worker: {
      api_bind_addr: `[::]:${port}`,
      api_advertised_addr_ipv4: `127.0.0.1:${port}`,
      api_advertised_addr_ipv6: `[::1]:${port}`,
      ...worker,
      port_proxy: { bind_host: "::", advertised_host: "127.0.0.1" },
    },
  });
}

async function linkTo(at: Stage, { circuit }: Opened, redirect: string): Promise<string> {
  const claims = { id: crypto.randomUUID(), circuit: circuit.id, redirect };
  const token = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());
  return `http://127.0.0.1:${at.apiPort()}/setup?token=${token}`;
}

const overIPv6 = (url: string) => url.replace("127.0.0.1", "[::1]");
const get = (url: string, headers: Headers = {}) => fetch(url, { redirect: "manual", headers });
const told = (address: string, more: Headers = {}) => ({ "X-Forwarded-For": address, ...more });
const locationOf = ({ headers }: Response) => headers.get("location") ?? "";

let app: App;
beforeAll(() => void (app = startApp()));
afterAll(() => app.stop());
afterEach(stopUpstreams);

describe("a web app's link that was used over IPv6", () => {
  let stage: Stage;
  beforeAll(async () => void (stage = await dualStack({})));
  afterAll(() => stage.stop());

  async function used(): Promise<{ to: Opened; url: string }> {
    const to = await stage.open({ upstream: app.port });
    const url = await linkTo(stage, to, "/lab");
    expect(locationOf(await get(overIPv6(url)))).toContain("/_appproxy/enter?t=");
    return { to, url };
  }

  test("lets the same client in over IPv4, by way of IPv6", async () => {
    const { url } = await used();
    const sent = await get(url);
    expect([sent.status, sent.headers.get("cache-control"), sent.headers.get("referrer-policy")]).toEqual([
      302,
      "no-store",
      "no-referrer",
    ]);
    expect(locationOf(sent)).toBe(`${overIPv6(url)}&sent=yes`);
    const known = await get(locationOf(sent));
    const entered = await get(locationOf(known));
    expect([entered.status, entered.headers.getSetCookie().length]).toEqual([303, 1]);
  });

  test("keeps what else the link says", async () => {
    const { url } = await used();
    const sent = new URL(locationOf(await get(`${url}&permit_key=a%26b`)));
    expect(sent.searchParams.get("permit_key")).toBe("a&b");
  });

  test("is a page for a person, which looks first whether it can go there", async () => {
    const { url } = await used();
    const page = await get(url, { accept: "text/html" });
    const html = await page.text();
    expect([page.status, page.headers.get("cache-control")]).toEqual([200, "no-store"]);
    expect(html).toContain(`<a href="${overIPv6(url)}&amp;sent=yes">`);
    expect(page.headers.get("content-security-policy")).toContain("connect-src http:; ");
    // Where it can't, it shows what is said to another client.
    const stranger = await get(`${url}&sent=yes`, { accept: "text/html" });
    expect([stranger.status, await stranger.text()]).toEqual([401, expect.stringContaining("used already")]);
  });

  test("is answered by the permit alone where the browser shows it", async () => {
    const { to, url } = await used();
    const sent = await get(url, { cookie: to.cookie });
    expect(locationOf(sent)).toBe(`http://127.0.0.1:${to.port}/lab`);
  });
});

describe("behind a proxy that tells who comes", () => {
  let stage: Stage;
  beforeAll(async () => void (stage = await dualStack({ trusted_proxies: ["127.0.0.1", "::1"] })));
  afterAll(() => stage.stop());

  test.each([
    ["IPv6", ME6, ME4, STRANGER4, STRANGER6, "[::1]"],
    ["IPv4", ME4, ME6, STRANGER6, STRANGER4, "127.0.0.1"],
  ])("used over %s: another client is another one everywhere", async (_family, first, mine, other, same, host) => {
    const url = await linkTo(stage, await stage.open({ upstream: app.port }), "/lab");
    expect((await get(url, told(first))).status).toBe(302);
    // Over the same family nobody is sent anywhere.
    const refused = await get(url, told(same));
    expect([refused.status, locationOf(refused)]).toEqual([401, ""]);
    for (const from of [mine, other]) {
      const sent = await get(url, told(from));
      expect([sent.status, new URL(locationOf(sent)).hostname]).toEqual([302, host]);
      for (const stranger of [same, other, mine])
        expect((await get(locationOf(sent), told(stranger))).status).toBe(401);
      expect((await get(locationOf(sent), told(first))).status).toBe(302);
    }
  });
});

test("a TCP app's link too: who is known again is told where to connect, and nobody else gets in", async () => {
  const stage = await dualStack({ protocol: "tcp" });
  const to = await stage.open({ upstream: greeter().port, protocol: "tcp" });
  const url = await linkTo(stage, to, "");
  await fetch(overIPv6(url));
  const again = (await (await fetch(url)).json()) as { allowed: { address: string }[] };
  expect(again.allowed.map(({ address }) => address)).toEqual(["::1"]);
  expect([await isLetIn(to.port, "::1"), await isLetIn(to.port)]).toEqual([true, false]);
  await stage.stop();
});

test("no app is where the API is over one family alone", async () => {
  const stage = await startStage(SHAPE, { worker: { api_advertised_addr_ipv4: `127.0.0.1:${app.port}` } });
  const to = await stage.open({ upstream: app.port });
  expect((await get(to.url("/"), { cookie: to.cookie })).status).toBe(502);
  await stage.stop();
});

test("a caller on this machine may name the API so", async () => {
  const worker = { api_advertised_addr_ipv4: "v4.apps.example:80", api_advertised_addr_ipv6: "v6.apps.example:80" };
  const stage = await startStage(SHAPE, { worker });
  const named = (host: string) => get(`http://127.0.0.1:${stage.apiPort()}/metrics`, { host });
  const answers = await Promise.all(["v4", "v6", "v5"].map((name) => named(`${name}.apps.example`)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 421]);
  await stage.stop();
});

test("a worker that is known over one family refuses as ever", async () => {
  const stage = await startStage(SHAPE, { worker: { trusted_proxies: ["127.0.0.1"] } });
  const url = await linkTo(stage, await stage.open({ upstream: app.port }), "/lab");
  await get(url, told(ME6));
  for (const accept of ["*/*", "text/html"]) {
    const answer = await get(url, told(ME4, { accept }));
    expect([answer.status, locationOf(answer)]).toEqual([401, ""]);
  }
  await stage.stop();
});
