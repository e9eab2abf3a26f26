/** A setup link over raw HTTP: who may use it, when and how often, and what uses nothing up (security 4). Real sockets. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { SignJWT } from "jose";
import type { Shape } from "../../contract/shapes.ts";
import { startStage, type Opened, type Stage } from "../../contract/stage.ts";
import { greeter, isLetIn } from "../../contract/tcp-admission.ts";
import { stopUpstreams } from "../../contract/upstreams.ts";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { liveKeys } from "../../../shared/live/live.ts";
import { LIVE_DB } from "../../../shared/live/redis.ts";
import { startApp, type App } from "../../support/app.ts";
import { JWT_SECRET } from "../../support/manager.ts";

const SHAPE: Shape = { engine: "serve", frontend: "port", place: "in process" };
const MINUTE = 60_000;
/** What X-Forwarded-For says, for 127.0.0.1 is a proxy here. */
const [ME, ANOTHER] = ["203.0.113.9", "198.51.100.7"];

type Headers = Record<string, string>;

/** Milliseconds by which the worker's clock has gone on. */
let later = 0;
let stage: Stage;
let tcpStage: Stage;
let app: App;

beforeAll(async () => {
  const worker = { trusted_proxies: ["127.0.0.1"] };
  stage = await startStage(SHAPE, { worker, now: () => Date.now() + later });
  tcpStage = await startStage(SHAPE, { worker: { ...worker, protocol: "tcp" }, now: () => Date.now() + later });
  app = startApp();
});
afterAll(async () => {
  await stage.stop();
  await tcpStage.stop();
  await app.stop();
});
beforeEach(() => void (later = 0));
afterEach(stopUpstreams);

const get = (url: string, from: string, headers: Headers = {}, method = "GET") =>
  fetch(url, { method, redirect: "manual", headers: { "X-Forwarded-For": from, accept: "text/html", ...headers } });

async function link(at: Stage, { circuit }: Opened, redirect = "/lab", { jti = "", age = 0 } = {}): Promise<string> {
  const claims = { id: crypto.randomUUID(), circuit: circuit.id, redirect };
  const token = await mintSetupToken(claims, JWT_SECRET, jti || crypto.randomUUID(), Date.now() - age);
  return `http://127.0.0.1:${at.apiPort()}/setup?token=${token}`;
}

/** A link to an HTTP circuit. */
async function httpLink(public_ = false): Promise<{ url: string; to: Opened }> {
  const to = await stage.open({ upstream: app.port, public: public_ });
  return { url: await link(stage, to), to };
}

async function tcpLink(): Promise<{ url: string; to: Opened }> {
  const to = await tcpStage.open({ upstream: greeter().port, protocol: "tcp" });
  return { url: await link(tcpStage, to, ""), to };
}

const ticketOf = (setup: Response) => setup.headers.get("location") ?? "";
const statusOf = async (answer: Promise<Response>) => (await answer).status;

describe("a link to an app", () => {
  test("is the first client's for ten minutes: each use gives a ticket of its own, which lets in once", async () => {
    const { url } = await httpLink();
    const tickets: string[] = [];
    for (later of [0, 5 * MINUTE, 10 * MINUTE - 1000]) tickets.push(ticketOf(await get(url, ME)));
    expect(new Set(tickets).size).toBe(3);
    const last = tickets[2] ?? "";
    const entered = await get(last, ME);
    expect([entered.status, entered.headers.get("location")]).toEqual([303, "/lab"]);
    expect(entered.headers.getSetCookie()[0]).toStartWith("appproxy_permit_");
    expect(await statusOf(get(last, ME))).toBe(401);
  });

  test("is over for the first client too after ten minutes", async () => {
    const { url } = await httpLink();
    expect(await statusOf(get(url, ME))).toBe(302);
    later = 10 * MINUTE + 1000;
    const answer = await get(url, ME);
    expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("This link has expired")]);
  });

  test("is no other client's, whether at once or later", async () => {
    const { url } = await httpLink();
    await get(url, ME);
    for (later of [0, 9 * MINUTE]) {
      const answer = await get(url, ANOTHER);
      expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("used already")]);
      expect(answer.headers.get("location")).toBeNull();
    }
  });

  test("is for a minute where nobody used it, and for nobody afterwards", async () => {
    const { url } = await httpLink();
    later = 2 * MINUTE;
    const answer = await get(url, ME);
    expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("This link has expired")]);
    later = 0;
    expect(await statusOf(get(url, ANOTHER))).toBe(302);
  });

  test("leads who has the circuit's permit on from any address, without another ticket", async () => {
    const { url, to } = await httpLink();
    await get(url, ME);
    const again = await get(url, ANOTHER, { cookie: to.cookie });
    expect([again.status, again.headers.get("location")]).toEqual([302, `http://127.0.0.1:${to.port}/lab`]);
    const other = await stage.open({ upstream: app.port });
    expect(await statusOf(get(url, ANOTHER, { cookie: other.cookie }))).toBe(401);
  });

  test("is one person's too where a load balancer is not named in trusted_proxies", async () => {
    const unnamed = await startStage(SHAPE, { worker: {} });
    const url = await link(unnamed, await unnamed.open({ upstream: app.port }));
    const from = [ME, ME, ANOTHER, `${ANOTHER}, ${ME}`, `${ME}, ${ANOTHER}`, "127.0.0.1", `${ME}:5555`];
    const statuses: number[] = [];
    for (const address of from) statuses.push(await statusOf(get(url, address)));
    expect(statuses).toEqual([302, 302, 401, 302, 401, 401, 302]);
    await unnamed.stop();
  });

  test("was used at another node first: the same client may use it here, and no other", async () => {
    const shared = await startStage(SHAPE, { worker: { trusted_proxies: ["127.0.0.1"] }, redis: true });
    const client = new Redis(shared.redis?.port ?? 0, "127.0.0.1", { db: LIVE_DB });
    const to = await shared.open({ upstream: app.port });
    const age = 5 * MINUTE;
    const statusAfter = async (noted: string, from: string, age = 0) => {
      const jti = crypto.randomUUID();
      await client.set(liveKeys.used(jti), noted);
      return statusOf(get(await link(shared, to, "/lab", { jti, age }), from));
    };
    for (const old of [0, age]) {
      expect(await statusAfter(`${Date.now() - old} ${ME}`, ME, old)).toBe(302);
      expect(await statusAfter(`${Date.now() - old} ${ANOTHER}`, ME, old)).toBe(401);
      // As an older version notes it.
      expect(await statusAfter("1", ME, old)).toBe(401);
    }
    expect(await statusAfter(`${Date.now() - 11 * MINUTE} ${ME}`, ME, age)).toBe(401);
    const jti = crypto.randomUUID();
    await get(await link(shared, to, "/lab", { jti }), ME);
    expect((await client.get(liveKeys.used(jti)))?.split(" ")[1]).toBe(ME);
    expect(await client.ttl(liveKeys.used(jti))).toBeWithin(500, 601);
    client.disconnect();
    await shared.stop();
  });

  test("is one client's where two come at the same moment", async () => {
    const { url } = await httpLink();
    const from = [ME, ANOTHER, ME, ANOTHER, ME, ANOTHER];
    const answers = await Promise.all(from.map((address) => statusOf(get(url, address))));
    expect(answers.toSorted((a, b) => a - b)).toEqual([302, 302, 302, 401, 401, 401]);
  });

  test("of the original's coordinator, which has neither exp nor jti, is for everybody as before", async () => {
    const { to } = await httpLink();
    const token = await new SignJWT({ version: "v2", id: "x", circuit: to.circuit.id, redirect: "" })
      .setProtectedHeader({ alg: "HS256" })
      .sign(new TextEncoder().encode(JWT_SECRET));
    const url = `http://127.0.0.1:${stage.apiPort()}/setup?token=${token}`;
    expect([await statusOf(get(url, ME)), await statusOf(get(url, ANOTHER))]).toEqual([302, 302]);
    later = 60 * MINUTE;
    expect(await statusOf(get(url, ANOTHER))).toBe(302);
  });
});

describe("a link to a TCP app", () => {
  test("tells the first client again where to connect, for ten minutes, and nobody else", async () => {
    const { url, to } = await tcpLink();
    const told = async (link: string) => (await get(link, "127.0.0.1", { accept: "*/*" })).json();
    const first = (await told(url)) as { redirect: string; allowed: { until: string }[] };
    later = 9 * MINUTE;
    // What the WebUI appends on its own.
    const again = (await told(`${url}&permit_key=old&do-not-redirect=true`)) as typeof first;
    expect({ ...again, allowed: [] }).toEqual({ ...first, allowed: [] });
    // Let in anew, from now on.
    const [from, to12] = [first, again].map(({ allowed }) => Date.parse(allowed[0]?.until ?? ""));
    expect((to12 ?? 0) - (from ?? 0)).toBeGreaterThan(8 * MINUTE);
    expect(await statusOf(get(url, ANOTHER))).toBe(401);
    expect(await isLetIn(to.port)).toBe(true);
    later = 11 * MINUTE;
    expect(await statusOf(get(url, "127.0.0.1"))).toBe(401);
  });

  test("lets no second client connect", async () => {
    const { url, to } = await tcpLink();
    await get(url, ME);
    expect(await statusOf(get(url, "127.0.0.1"))).toBe(401);
    expect(await isLetIn(to.port)).toBe(false);
  });
});

/** As Chromium 15x and Firefox send them. */
const UNSEEN: [string, string, Headers, number][] = [
  ["a page's no-cors fetch", "GET", { "sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty", accept: "*/*" }, 204],
  ["an image", "GET", { "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }, 204],
  ["a HEAD", "HEAD", {}, 204],
  ["a prefetched link", "GET", { "sec-purpose": "prefetch", "sec-fetch-mode": "no-cors" }, 204],
  ["a prefetched navigation", "GET", { "sec-purpose": "prefetch", "sec-fetch-mode": "navigate" }, 503],
  ["a prerendered page", "GET", { "sec-purpose": "prefetch;prerender", "sec-fetch-mode": "navigate" }, 503],
  ["an older browser's prefetch", "GET", { purpose: "prefetch" }, 503],
];

describe.each(UNSEEN)("%s", (_what, method, headers, status) => {
  test("uses no link up, and gets nothing", async () => {
    const before = app.requests.length;
    for (const { url } of [await httpLink(), await httpLink(true), await tcpLink()]) {
      const answer = await get(url, ANOTHER, headers, method);
      const { status: given, headers: had } = answer;
      expect([given, had.get("location"), had.getSetCookie(), await answer.text()]).toEqual([status, null, [], ""]);
      expect([had.get("cache-control"), had.get("cross-origin-resource-policy")]).toEqual(["no-store", "cross-origin"]);
      expect(await statusOf(get(url, ME))).toBeOneOf([200, 302]);
    }
    expect(app.requests.length).toBe(before);
  });

  test("lets nobody connect over TCP", async () => {
    const { url, to } = await tcpLink();
    await get(url, "127.0.0.1", headers, method);
    expect(await isLetIn(to.port)).toBe(false);
  });

  test("uses no ticket up, gets no permit, and never reaches the app", async () => {
    const { url } = await httpLink();
    const ticket = ticketOf(await get(url, ME));
    const before = app.requests.length;
    const answer = await get(ticket, ME, headers, method);
    expect([answer.status, answer.headers.getSetCookie(), answer.headers.get("location")]).toEqual([status, [], null]);
    expect(app.requests.length).toBe(before);
    const entered = await get(ticket, ME);
    expect([entered.status, entered.headers.getSetCookie().length]).toEqual([303, 1]);
  });
});

describe("where browsers do not say how a page asks (plain HTTP, Safari before 16.4)", () => {
  const page = { accept: "*/*", referer: "http://webui.example/" };

  test("a page's no-cors fetch of a link to an app uses nothing up, and gets nothing", async () => {
    const { url } = await httpLink();
    expect(await statusOf(get(url, ANOTHER, page))).toBe(204);
    expect(await statusOf(get(url, ME))).toBe(302);
  });

  test("programs, navigations and fetches that may read the answer are let in", async () => {
    for (const headers of [{ accept: "*/*" }, { referer: page.referer }, { ...page, origin: "http://webui.example" }]) {
      const { url } = await httpLink();
      expect(await statusOf(get(url, ME, headers))).toBe(302);
    }
  });

  test("a TCP app's page is told both times, by its address", async () => {
    const { url } = await tcpLink();
    const told = [await get(url, ME, page), await get(url, ME, { ...page, origin: "http://webui.example" })];
    expect(told.map(({ status }) => status)).toEqual([200, 200]);
    expect(await statusOf(get(url, ANOTHER, page))).toBe(401);
  });
});
