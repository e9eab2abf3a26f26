/** A client's second address for a TCP circuit: seen over the other family, and let in only for who has the first one too (security 6). Real sockets. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { SignJWT } from "jose";
import { liveKeys } from "../../../shared/live/live.ts";
import { LIVE_DB } from "../../../shared/live/redis.ts";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { LookLinks } from "../../../worker/access/look-link.ts";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { dial } from "../../contract/client.ts";
import type { Shape } from "../../contract/shapes.ts";
import { startStage, type Opened, type Stage, type Wish } from "../../contract/stage.ts";
import { greeter, isLetIn } from "../../contract/tcp-admission.ts";
import { stopUpstreams } from "../../contract/upstreams.ts";
import { startCertificates } from "../../support/certificates.ts";
import { JWT_SECRET, PERMIT_SECRET } from "../../support/manager.ts";
import { freePort } from "../../support/ports.ts";
import { circuit } from "../../support/values.ts";

/** The client's two addresses, and a stranger's. */
const [ME4, ME6] = ["203.0.113.9", "2001:db8::9"];
const [STRANGER4, STRANGER6] = ["198.51.100.7", "2001:db8:bad::7"];
const HOURS_12 = 12 * 3600 * 1000;

type Headers = Record<string, string>;

interface Told {
  redirect: string;
  redirectURI: string;
  allowed?: { address: string; until: string }[];
  second_look?: string;
}

const shapeOf = (engine: Shape["engine"]): Shape => ({ engine, frontend: "port", place: "in process" });

/** A worker whose API and ports are heard over both families. */
async function dualStack(engine: Shape["engine"], worker: Record<string, unknown> = {}, now?: () => number) {
  const port = await freePort();
  return startStage(shapeOf(engine), {
    worker: {
      protocol: "tcp",
      api_bind_addr: `[::]:${port}`,
      api_advertised_addr_ipv4: `127.0.0.1:${port}`,
      api_advertised_addr_ipv6: `[::1]:${port}`,
      port_proxy: { bind_host: "::", advertised_host: "127.0.0.1" },
      ...worker,
    },
    redis: true,
    ...(now === undefined ? {} : { now }),
  });
}

const open = (at: Stage, wish: Wish = {}) => at.open({ upstream: greeter().port, protocol: "tcp", ...wish });

/** A link to a circuit, at the API's IPv4 address; as the original's coordinator makes it where `jti` is null. */
async function linkTo(at: Stage, { circuit }: Opened, redirect = "", jti: string | null = crypto.randomUUID()) {
  const claims = { id: crypto.randomUUID(), circuit: circuit.id, redirect };
  const token =
    jti === null
      ? await new SignJWT({ ...claims, version: "v2" })
          .setProtectedHeader({ alg: "HS256" })
          .sign(new TextEncoder().encode(JWT_SECRET))
      : await mintSetupToken(claims, JWT_SECRET, jti, Date.now());
  return `http://127.0.0.1:${at.apiPort()}/setup?token=${token}`;
}

async function told(answer: Response): Promise<Told> {
  expect([answer.status, answer.headers.get("cache-control"), answer.headers.get("referrer-policy")]).toEqual([
    200,
    "no-store",
    "no-referrer",
  ]);
  return (await answer.json()) as Told;
}

const addressesIn = ({ allowed }: Told) => allowed?.map(({ address }) => address);

afterEach(stopUpstreams);

describe.each(["serve", "sockets"] as const)("a worker that is heard over both families, engine %s", (engine) => {
  let stage: Stage;
  beforeAll(async () => void (stage = await dualStack(engine)));
  afterAll(() => stage.stop());

  test.each([
    ["IPv6", "::1", "127.0.0.1"],
    ["IPv4", "127.0.0.1", "::1"],
  ])("lets in the other address of who has come over %s", async (_family, mine, other) => {
    const to = await open(stage);
    const hosts: Record<string, string> = { "127.0.0.1": "127.0.0.1", "::1": "[::1]" };
    const url = (await linkTo(stage, to)).replace("127.0.0.1", hosts[mine] ?? "");
    const first = await told(await fetch(url));
    expect(addressesIn(first)).toEqual([mine]);
    expect([await isLetIn(to.port, mine), await isLetIn(to.port, other)]).toEqual([true, false]);
    const look = new URL(first.second_look ?? "");
    expect(look.origin + look.pathname).toBe(`http://${hosts[other]}:${stage.apiPort()}/setup/second-look`);

    const second = await told(await fetch(look));
    expect(addressesIn(second)).toEqual([mine, other]);
    for (const { until } of second.allowed ?? [])
      expect(Date.parse(until) - Date.now()).toBeWithin(HOURS_12 - 600_000, HOURS_12 + 60_000);
    expect([await isLetIn(to.port, mine), await isLetIn(to.port, other)]).toEqual([true, true]);
    // The link that is used again says so too, and there is no third address.
    const again = await told(await fetch(url));
    expect([addressesIn(again), again.second_look]).toEqual([[mine, other], undefined]);
  });

  test("has told in the same fields as before where to connect", async () => {
    const { redirect, redirectURI, ...more } = await told(await fetch(await linkTo(stage, await open(stage))));
    expect([redirectURI, Object.keys(more)]).toEqual([redirect, ["allowed", "second_look"]]);
    expect(redirect).toStartWith("http://localhost:45678/start?directTCP=true&auth=");
  });

  test("offers no second look for a circuit that everybody may use", async () => {
    const to = await open(stage, { public: true });
    expect(Object.keys(await told(await fetch(await linkTo(stage, to))))).toEqual(["redirect", "redirectURI"]);
    expect([await isLetIn(to.port, "127.0.0.1"), await isLetIn(to.port, "::1")]).toEqual([true, true]);
  });
});

describe("behind a proxy that tells who comes", () => {
  /** Milliseconds by which the worker's clock has gone on. */
  let later = 0;
  let stage: Stage;
  let redis: Redis;

  beforeAll(async () => {
    stage = await dualStack("serve", { trusted_proxies: ["127.0.0.1", "::1"] }, () => Date.now() + later);
    redis = new Redis(stage.redis?.port ?? 0, "127.0.0.1", { db: LIVE_DB });
  });
  afterAll(async () => {
    redis.disconnect();
    await stage.stop();
  });
  beforeEach(() => void (later = 0));

  const get = (url: string, from: string, headers: Headers = {}, method = "GET") =>
    fetch(url, { method, redirect: "manual", headers: { "X-Forwarded-For": from, ...headers } });
  const statusOf = async (answer: Promise<Response>) => (await answer).status;
  const knows = async ({ circuit }: Opened, address: string) =>
    (await redis.exists(liveKeys.allowed(`${circuit.id} ${address}`))) === 1;

  /** A circuit that somebody has opened from an address, with the link of the second look. */
  async function opened(from = ME6, wish: Wish = {}): Promise<{ to: Opened; url: string; look: string }> {
    const to = await open(stage, wish);
    const url = await linkTo(stage, to);
    const { second_look: look = "" } = await told(await get(url, from));
    return { to, url, look };
  }

  /** The link back, as somebody gets it who opens the link of the second look. */
  async function wayBack(look: string, from: string): Promise<string> {
    const answer = await get(look, from);
    const { headers } = answer;
    expect([answer.status, headers.get("cache-control"), headers.get("referrer-policy"), await answer.text()]).toEqual([
      303,
      "no-store",
      "no-referrer",
      "",
    ]);
    return headers.get("location") ?? "";
  }

  test("both addresses are let in, and no way alone lets in another", async () => {
    const { to, look } = await opened();
    const back = await wayBack(look, ME4);
    expect([await knows(to, ME6), await knows(to, ME4)]).toEqual([true, false]);
    expect(new URL(back).hostname).toBe("[::1]");
    expect(addressesIn(await told(await get(back, ME6)))).toEqual([ME6, ME4]);
    expect([await knows(to, ME6), await knows(to, ME4)]).toEqual([true, true]);
  });

  test("a stranger who has the link adds no address, and does not use it up", async () => {
    const { to, look } = await opened();
    const back = await wayBack(look, STRANGER4);
    for (const from of [STRANGER6, STRANGER4, ME4]) {
      const answer = await get(back, from);
      expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("used already")]);
    }
    expect(await knows(to, STRANGER4)).toBe(false);
    const mine = await wayBack(look, ME4);
    for (const from of [STRANGER6, STRANGER4]) expect(await statusOf(get(mine, from))).toBe(401);
    expect(await knows(to, ME4)).toBe(false);
    expect(await statusOf(get(mine, ME6))).toBe(200);
  });

  test("one link lets in one more address, which may ask again", async () => {
    const { to, url, look } = await opened();
    const [mine, another] = [await wayBack(look, ME4), await wayBack(look, STRANGER4)];
    expect([await statusOf(get(mine, ME6)), await statusOf(get(mine, ME6))]).toEqual([200, 200]);
    expect(await statusOf(get(another, ME6))).toBe(401);
    expect(await knows(to, STRANGER4)).toBe(false);
    expect((await told(await get(url, ME6))).second_look).toBeUndefined();
  });

  test("one link lets in one more address where two come at the same moment", async () => {
    const { look } = await opened();
    const backs = await Promise.all([ME4, STRANGER4].map((from) => wayBack(look, from)));
    const statuses = await Promise.all(backs.map((back) => statusOf(get(back, ME6))));
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 401]);
  });

  test.each([ME6, STRANGER6, `::ffff:${ME4}, ${ME6}`])(
    "over the same family (%p) there is nothing to see",
    async (from) => {
      const { to, look } = await opened();
      const answer = await get(look, from);
      expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("over IPv4")]);
      expect(await knows(to, STRANGER6)).toBe(false);
    },
  );

  test("a link lives for a minute, both ways", async () => {
    const { to, look } = await opened();
    const back = await wayBack(look, ME4);
    later = 58_000;
    expect(await statusOf(get(look, ME4))).toBe(303);
    later = 61_000;
    for (const [url, from] of [
      [look, ME4],
      [back, ME6],
    ] as const) {
      const answer = await get(url, from);
      expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("has expired")]);
    }
    expect(await knows(to, ME4)).toBe(false);
  });

  test("a link that is another's, changed, or made for another use is 400", async () => {
    const { to, look } = await opened();
    const at = look.slice(0, look.indexOf("=") + 1);
    const text = look.slice(at.length);
    const claims = {
      cid: to.circuit.id,
      id: "x",
      by: ME6,
      back: `http://[::1]:${stage.apiPort()}`,
      also: STRANGER4,
      exp: 9e9,
    };
    const permits = new PermitAuthority({ secret: PERMIT_SECRET, previous_secrets: [], digest_mod: "sha256" });
    const wrong = [
      "",
      text.slice(0, -2),
      `l2${text.slice(2)}`,
      `${text}.x`,
      new LookLinks(["some other secret of the right length"]).back(claims),
      permits.ticket({ uid: "u", jti: "j", path: "/", ...claims }, 0, 9e9),
      new URL(await linkTo(stage, to)).searchParams.get("token") ?? "",
    ];
    for (const one of wrong) expect([one, await statusOf(get(at + one, ME6))]).toEqual([one, 400]);
    expect(await knows(to, STRANGER4)).toBe(false);
  });

  test("the circuit's address list holds for both", async () => {
    const { to, look } = await opened(ME6, { allowedClientIps: `${ME6},${STRANGER4}` });
    expect(await statusOf(get(look, ME4))).toBe(403);
    const back = await wayBack(look, STRANGER4);
    await stage.coordinator.put({ ...to.circuit, allowed_client_ips: ME6 });
    expect(await statusOf(get(back, ME6))).toBe(403);
    expect(await knows(to, STRANGER4)).toBe(false);
  });

  test("a circuit that is gone is 404", async () => {
    const { to, look } = await opened();
    const back = await wayBack(look, ME4);
    await stage.close(to);
    expect([await statusOf(get(look, ME4)), await statusOf(get(back, ME6))]).toEqual([404, 404]);
  });

  test.each<[string, string, Headers, number]>([
    ["a page's no-cors fetch", "GET", { "sec-fetch-mode": "no-cors" }, 204],
    ["an image over plain HTTP", "GET", { accept: "*/*", referer: "http://app.example/" }, 204],
    ["a HEAD", "HEAD", {}, 204],
    ["a prefetched navigation", "GET", { "sec-purpose": "prefetch", "sec-fetch-mode": "navigate" }, 503],
  ])("%s sees nothing and lets nobody in", async (_what, method, headers, status) => {
    const { to, look } = await opened();
    const there = await get(look, ME4, headers, method);
    expect([there.status, there.headers.get("location"), await there.text()]).toEqual([status, null, ""]);
    const back = await wayBack(look, ME4);
    expect(await statusOf(get(back, ME6, headers, method))).toBe(status);
    expect(await knows(to, ME4)).toBe(false);
  });

  test("any node of the authority takes the links of another, and knows whom that has let in", async () => {
    const to = await open(stage);
    const jti = crypto.randomUUID();
    const back = `http://[::1]:${stage.apiPort()}`;
    const claims = { cid: to.circuit.id, id: jti, by: ME6, back, exp: Math.floor(Date.now() / 1000) + 60 };
    const look = `http://127.0.0.1:${stage.apiPort()}/setup/second-look?t=${new LookLinks([PERMIT_SECRET]).there(claims)}`;
    await redis.set(liveKeys.used(`look.${jti}`), `${Date.now()} ${STRANGER4}`);
    expect(await statusOf(get(await wayBack(look, ME4), ME6))).toBe(401);
    const from = await wayBack(look, STRANGER4);
    expect(addressesIn(await told(await get(from, ME6)))).toEqual([ME6, STRANGER4]);
    await redis.set(liveKeys.used(jti), `${Date.now()} ${ME6}`);
    expect(addressesIn(await told(await get(await linkTo(stage, to, "", jti), ME6)))).toEqual([ME6, STRANGER4]);
  });

  test("a node that has not heard of the circuit yet asks for it", async () => {
    const deaf = await dualStack("serve", { trusted_proxies: ["127.0.0.1"], heartbeat_period: 600 });
    const claims = {
      id: "a",
      by: ME6,
      back: `http://[::1]:${deaf.apiPort()}`,
      exp: Math.floor(Date.now() / 1000) + 60,
    };
    const [known, gone] = [crypto.randomUUID(), crypto.randomUUID()];
    const { low: port } = deaf.ports;
    const at = (cid: string) => {
      const link = new LookLinks([PERMIT_SECRET]).there({ ...claims, cid });
      return statusOf(get(`http://127.0.0.1:${deaf.apiPort()}/setup/second-look?t=${link}`, ME4));
    };
    expect(await at(gone)).toBe(404);
    deaf.coordinator.putSilently(circuit({ id: known, protocol: "tcp", port }));
    expect(await at(known)).toBe(303);
    await deaf.stop();
  });

  test("a link of the original's coordinator has a second look too", async () => {
    const to = await open(stage);
    const { second_look: look = "" } = await told(await get(await linkTo(stage, to, "", null), ME6));
    expect(addressesIn(await told(await get(await wayBack(look, ME4), ME6)))).toEqual([ME6, ME4]);
  });

  test("the log tells no link", async () => {
    const { look } = await opened();
    expect(await statusOf(get(look, ME6))).toBe(401);
    const said = JSON.stringify(stage.lines);
    expect(said).toContain("/setup/second-look");
    expect(said).not.toContain(look.slice(look.indexOf("l1.")));
  });

  test("a person is told in a page which address may connect, and until when", async () => {
    const to = await open(stage);
    const url = await linkTo(stage, to);
    const answer = await get(url, ME6, { accept: "text/html", "accept-language": "ko" });
    const page = await answer.text();
    expect([answer.status, answer.headers.get("content-language"), answer.headers.get("cache-control")]).toEqual([
      200,
      "ko",
      "no-store",
    ]);
    const day = new Date(Date.now() + HOURS_12).toISOString().slice(0, 10);
    for (const text of ["이제 연결할 수 있습니다", `:${to.port}</code>`, `${ME6}, ${day} `, "다른 주소도 허용하기"])
      expect(page).toContain(text);
    const href = /<a href="([^"]*)"/.exec(page)?.[1] ?? "";
    const back = await wayBack(href, ME4);
    const seen = await (await get(back, ME6, { accept: "text/html" })).text();
    for (const text of ["You can connect now", `:${to.port}</code>`, `${ME6}, until ${day} `, `${ME4}, until ${day} `])
      expect(seen).toContain(text);
    expect(seen).not.toContain("<script");
  });

  test("its page may run its own script, and ask the API alone", async () => {
    const answer = await get(await linkTo(stage, await open(stage)), ME6, { accept: "text/html" });
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(
      // CSP has no form for an IPv6 address.
      /^default-src 'none'; script-src 'sha256-[\w+/]+=*'; style-src 'unsafe-inline'; connect-src http:\/\/127\.0\.0\.1:\d+ http:; base-uri 'none'; form-action 'none'$/,
    );
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("a link that leads to the person's own client looks on the way, and as before for programs", async () => {
    const to = await open(stage);
    const url = await linkTo(stage, to, "/lab");
    const program = await get(url, ME6);
    expect([program.status, program.headers.get("location")]).toEqual([302, expect.stringContaining(":45678/start?")]);
    const page = await (await get(url, ME6, { accept: "text/html" })).text();
    expect(page).toContain('data-look="http://127.0.0.1:');
    expect(page).toContain('<a href="http://localhost:45678/start?directTCP=true&amp;auth=');
    const kept = await get(`${url}&do-not-redirect=true`, ME6, { accept: "text/html" });
    expect(addressesIn(await told(kept))).toEqual([ME6]);
  });
});

describe("where there is no second look", () => {
  const single = { protocol: "tcp", trusted_proxies: ["127.0.0.1"] };

  test("a worker that is known over one family tells which address was let in, and no more", async () => {
    const stage = await startStage(shapeOf("serve"), { worker: single });
    const url = await linkTo(stage, await open(stage));
    const answer = await told(await fetch(url));
    expect([addressesIn(answer), answer.second_look]).toEqual([["127.0.0.1"], undefined]);
    const page = await fetch(url, { headers: { accept: "text/html" } });
    const html = await page.text();
    expect([html.includes("127.0.0.1, until 2"), html.includes("<script"), html.includes("<a ")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(page.headers.get("content-security-policy")).toContain("connect-src 'none'");
    const sent = await fetch(await linkTo(stage, await open(stage), "/lab"), {
      headers: { accept: "text/html" },
      redirect: "manual",
    });
    expect(sent.status).toBe(302);
    await stage.stop();
  });

  test("a worker that lets everybody in says so", async () => {
    const stage = await dualStack("serve", { tcp_auth: "none" });
    const url = await linkTo(stage, await open(stage));
    expect(Object.keys(await told(await fetch(url)))).toEqual(["redirect", "redirectURI"]);
    const page = await (await fetch(url, { headers: { accept: "text/html" } })).text();
    expect([page.includes("from everywhere"), page.includes("<li>")]).toEqual([true, false]);
    await stage.stop();
  });

  test("a proxy that is not trusted hides who comes: nothing is to be seen behind it", async () => {
    const stage = await dualStack("serve");
    const url = await linkTo(stage, await open(stage));
    const answer = await told(await fetch(url, { headers: { "X-Forwarded-For": ME6 } }));
    expect([addressesIn(answer), answer.second_look]).toEqual([["127.0.0.1"], undefined]);
    await stage.stop();
  });
});

test("with TLS the look is over https, both ways", async () => {
  const files = startCertificates("localhost");
  const stage = await dualStack("serve", { tls_listen: true, tls_cert: files.cert, tls_privkey: files.key });
  const to = await open(stage);
  const insecure = { tls: { rejectUnauthorized: false } };
  const { second_look: look = "" } = await told(
    await fetch((await linkTo(stage, to)).replace("http:", "https:"), insecure),
  );
  expect(look).toStartWith(`https://[::1]:${stage.apiPort()}/`);
  const there = await fetch(look, { ...insecure, redirect: "manual" });
  expect(there.headers.get("location")).toStartWith(`https://127.0.0.1:${stage.apiPort()}/`);
  expect(addressesIn(await told(await fetch(look, insecure)))).toEqual(["127.0.0.1", "::1"]);
  await stage.stop();
  files.remove();
});

test("a second look lets in whom a PROXY header tells, on both families", async () => {
  const stage = await dualStack("serve", { trusted_proxies: ["127.0.0.1", "::1"], accept_proxy_protocol: true });
  const to = await open(stage);
  const from = (address: string) => ({ headers: { "X-Forwarded-For": address } });
  const { second_look: look = "" } = await told(await fetch(await linkTo(stage, to), from(ME6)));
  const connect = async (address: string) => {
    const wire = await dial(to.port);
    const family = address.includes(":") ? "TCP6" : "TCP4";
    const own = family === "TCP6" ? "::1" : "127.0.0.1";
    await wire.send(`PROXY ${family} ${address} ${own} 5000 ${to.port}\r\n`);
    await wire.wait(() => wire.received > 0 || wire.ended !== null, "a greeting or the end");
    const isIn = wire.received > 0;
    wire.close();
    return isIn;
  };
  expect([await connect(ME6), await connect(ME4)]).toEqual([true, false]);
  const there = await fetch(look, { ...from(ME4), redirect: "manual" });
  await told(await fetch(there.headers.get("location") ?? "", from(ME6)));
  expect([await connect(ME6), await connect(ME4), await connect(STRANGER4)]).toEqual([true, true, false]);
  await stage.stop();
});
