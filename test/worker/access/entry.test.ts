/** Being let in: setup, ticket, permit, the compatible cookie, address lists, public circuits; and the worker's own API. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SignJWT } from "jose";
import { legacyPermit, PermitAuthority } from "../../../worker/access/permit.ts";
import { startApp, type App } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { JWT_SECRET, PERMIT_SECRET, type Entered } from "../../support/manager.ts";
import { atEnd } from "../../support/at-end.ts";

const USER = "11111111-2222-4333-8444-555555555555";

let cluster: Cluster;
let app: App;

beforeAll(async () => {
  cluster = await startCluster({ ports: 32 });
  app = startApp();
});

afterAll(async () => {
  await cluster.stop();
  await app.stop();
});

const enter = (wish: Record<string, unknown> = {}) => cluster.manager.enter({ kernel_port: app.port }, wish);
/** Another circuit of the same session: another session's kernel would be another one. */
const another = ({ sessionId }: Entered) =>
  cluster.manager.enter({ kernel_port: app.port, session_id: sessionId }, { app: "another" });
const status = async (url: string, headers: Record<string, string> = {}) =>
  (await fetch(url, { headers, redirect: "manual" })).status;

async function setupToken(
  claims: Record<string, unknown>,
  secret = JWT_SECRET,
  expires: string | null = "1m",
): Promise<string> {
  const jwt = new SignJWT({ version: "v2", id: crypto.randomUUID(), redirect: "", ...claims }).setProtectedHeader({
    alg: "HS256",
  });
  if (expires !== null) jwt.setExpirationTime(expires);
  return `${cluster.workerApi}/setup?token=${await jwt.sign(new TextEncoder().encode(secret))}`;
}

describe("/setup", () => {
  test.each<[string, () => Promise<string>, number]>([
    ["without a token", async () => `${cluster.workerApi}/setup`, 400],
    ["with something else", async () => `${cluster.workerApi}/setup?token=x`, 401],
    [
      "with another secret's token",
      async () => setupToken({ circuit: crypto.randomUUID() }, "another-secret-0123456789"),
      401,
    ],
    ["with an expired token", async () => setupToken({ circuit: crypto.randomUUID() }, JWT_SECRET, "-1h"), 401],
    ["with a token that names no circuit", async () => setupToken({}), 400],
    ["for a circuit that is not there", async () => setupToken({ circuit: crypto.randomUUID() }), 404],
  ])("%s is refused", async (_what, url, expected) => {
    expect(await status(await url())).toBe(expected);
  });

  test("refuses a redirect that leads elsewhere", async () => {
    const { circuitId } = await enter();
    for (const redirect of ["//evil.example", "/\\evil.example", "https://evil.example"]) {
      expect(await status(await setupToken({ circuit: circuitId, redirect }))).toBe(400);
    }
  });

  test("takes a redirect without its slash from the root, asked of the coordinator or in a token of the original's", async () => {
    const { circuitId, path } = await enter({ redirect: "lab?x=1" });
    expect(path).toBe("/lab?x=1");
    const setup = await fetch(await setupToken({ circuit: circuitId, redirect: "lab" }, JWT_SECRET, null), {
      redirect: "manual",
    });
    const entered = await fetch(setup.headers.get("location") ?? "", { redirect: "manual" });
    expect(entered.headers.get("location")).toBe("/lab");
  });

  test("takes the original's tokens, which have neither exp nor jti, again and again", async () => {
    const { circuitId } = await enter();
    const url = await setupToken({ circuit: circuitId, redirect: "/lab" }, JWT_SECRET, null);
    expect([await status(url), await status(url)]).toEqual([302, 302]);
  });

  test("its refusal is a page without secrets for people, a problem document for programs", async () => {
    const url = `${cluster.workerApi}/setup?token=private`;
    const page = await fetch(url, { headers: { accept: "text/html" } });
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(await page.text()).not.toContain("private");
    expect((await fetch(url, { headers: { accept: "application/json" } })).headers.get("content-type")).toBe(
      "application/problem+json",
    );
  });
});

describe("/_appproxy/enter", () => {
  test("takes a ticket once; a reload with the permit goes on, without it is refused", async () => {
    const { origin, cookie, circuitId } = await enter();
    const setup = await fetch(await setupToken({ circuit: circuitId, redirect: "/lab" }), { redirect: "manual" });
    const link = setup.headers.get("location") ?? "";
    const first = await fetch(link, { redirect: "manual" });
    expect([first.status, first.headers.get("location")]).toEqual([303, "/lab"]);
    expect(await status(link)).toBe(401);
    const reload = await fetch(link, { redirect: "manual", headers: { cookie } });
    expect([reload.status, reload.headers.get("location"), reload.headers.get("set-cookie")]).toEqual([
      303,
      "/lab",
      null,
    ]);
    expect(await status(`${origin}/_appproxy/enter?t=forged`)).toBe(401);
    const posted = await fetch(link, { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("takes no ticket of another circuit", async () => {
    const mine = await enter();
    const other = await another(mine);
    const setup = await fetch(await setupToken({ circuit: mine.circuitId }), { redirect: "manual" });
    const ticket = new URL(setup.headers.get("location") ?? "").search;
    expect(await status(`${other.origin}/_appproxy/enter${ticket}`)).toBe(401);
    expect(await status(`${mine.origin}/_appproxy/enter${ticket}`)).toBe(303);
  });

  test("never reaches the app", async () => {
    const { origin } = await enter();
    const before = app.requests.length;
    await fetch(`${origin}/_appproxy/enter?t=x`);
    await fetch(`${origin}/_appproxy/enter`);
    expect(app.requests.length).toBe(before);
  });
});

describe("a permit", () => {
  test("opens its own circuit alone", async () => {
    const mine = await enter();
    const other = await another(mine);
    expect(await status(mine.origin, { cookie: mine.cookie })).toBe(200);
    expect(await status(other.origin, { cookie: mine.cookie })).toBe(401);
    const renamed = mine.cookie.replace(/permit_[0-9a-f]{8}/, `permit_${other.circuitId.slice(0, 8)}`);
    expect(await status(other.origin, { cookie: renamed })).toBe(401);
  });

  test("is renewed while it is used, and keeps its circuit", async () => {
    const { origin, circuitId } = await enter();
    const { permit_hash: settings, permit } = cluster.config.worker;
    const name = `appproxy_permit_${circuitId.slice(0, 8)}`;
    const issued = (age: number) =>
      new PermitAuthority(settings).issue(USER, circuitId, Math.floor(Date.now() / 1000) - age, permit.lifetime);
    const renewal = async (age: number) =>
      (await fetch(origin, { headers: { cookie: `${name}=${issued(age)}` } })).headers.getSetCookie();
    expect(await renewal(60)).toEqual([]);
    const [line = ""] = await renewal(permit.lifetime * 0.6);
    expect(line).toStartWith(`${name}=v3.`);
    expect(await status(origin, { cookie: line.split(";")[0] ?? "" })).toBe(200);
    expect(await status(origin, { cookie: `${name}=${issued(permit.lifetime + 1)}` })).toBe(401);
  });
});

describe("the original's cookie", () => {
  const legacy = `appproxy_permit=${legacyPermit(PERMIT_SECRET, USER, "sha256")}`;

  test("opens nothing by default, and is not set", async () => {
    const { origin, cookie } = await enter();
    expect(cookie).not.toContain("appproxy_permit=");
    expect(await status(origin, { cookie: legacy })).toBe(401);
  });

  test("with permit.accept_legacy opens the user's circuits, and is set by setup and entry", async () => {
    const mixed = await startCluster({ permit: { accept_legacy: true }, worker: { trusted_proxies: ["127.0.0.1"] } });
    atEnd(() => mixed.stop());
    const { token, sessionId } = await mixed.manager.conf({ kernel_port: app.port, user_uuid: USER });
    const opened = await mixed.manager.auth(token, sessionId);
    const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual" });
    expect(setup.headers.getSetCookie().map((line) => line.split(";")[0])).toEqual([legacy]);
    const entered = await fetch(setup.headers.get("location") ?? "", { redirect: "manual" });
    expect(entered.headers.getSetCookie().map((line) => line.split("=")[0])).toEqual([`appproxy_permit_${String(opened.body["circuit_id"]).slice(0, 8)}`, "appproxy_permit"]); // prettier-ignore
    const { origin } = new URL(setup.headers.get("location") ?? "");
    expect(await status(origin, { cookie: legacy })).toBe(200);
    // As the original sets it, and browsers send it back.
    const quoted = legacy.replace(/=(.*)$/, '="$1"');
    expect(await status(origin, { cookie: quoted })).toBe(200);
    const socket = new WebSocket(`${origin.replace("http", "ws")}/`, { headers: { cookie: quoted } });
    const opened101 = await new Promise((resolve) => {
      socket.addEventListener("open", () => resolve(true), { once: true });
      socket.addEventListener("error", () => resolve(false), { once: true });
    });
    socket.close();
    expect(opened101).toBe(true);
    // Its holder may use the link from another address too, as the holder of a permit of ours; nobody else may.
    const elsewhere = { "x-forwarded-for": "203.0.113.9" };
    const link = String(opened.body["redirect_url"]);
    const again = await fetch(link, { redirect: "manual", headers: { ...elsewhere, cookie: quoted } });
    expect((await fetch(link, { redirect: "manual", headers: elsewhere })).status).toBe(401);
    expect([again.status, again.headers.get("location")]).toEqual([302, `${origin}/`]);
    expect(
      await status(origin, { cookie: `appproxy_permit=${legacyPermit(PERMIT_SECRET, crypto.randomUUID(), "sha256")}` }),
    ).toBe(401);
    expect(app.requests.at(-1)?.headers.get("cookie")).toBeNull();
  });
});

describe("a circuit that", () => {
  test("is open to the public needs nothing, and setup goes straight to it", async () => {
    const { origin, path } = await enter({ open_to_public: true, redirect: "/lab" });
    expect(path).toBe("/lab");
    expect(await status(`${origin}/x`)).toBe(200);
  });

  test("allows some addresses lets no other in, with or without a permit", async () => {
    const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port });
    const opened = await cluster.manager.auth(token, sessionId, {
      allowed_client_ips: "10.0.0.0/8",
      open_to_public: true,
    });
    const { body } = await cluster.manager.api("GET", `/api/circuit/${String(opened.body["circuit_id"])}`);
    const answer = await fetch(`http://127.0.0.1:${String(body["port"])}/`, {
      headers: { accept: "application/json" },
    });
    expect([answer.status, await answer.json()]).toEqual([
      403,
      expect.objectContaining({ msg: "E20011: Client address not allowed", error_code: "appproxy_access_forbidden" }),
    ]);
    const near = await enter({ allowed_client_ips: "127.0.0.0/8, ::1" });
    expect(await status(near.origin, { cookie: near.cookie })).toBe(200);
  });

  test("is used across sites refuses what changes things", async () => {
    const { origin, cookie } = await enter();
    const post = async (from: string | null) =>
      (
        await fetch(origin, {
          method: "POST",
          body: "x",
          headers: { cookie, ...(from === null ? {} : { origin: from }) },
        })
      ).status;
    expect([await post(origin), await post(null), await post("https://evil.example"), await post("null")]).toEqual([
      200, 200, 403, 403,
    ]);
  });
});

describe("the worker's API", () => {
  test("answers who it is and how it is", async () => {
    const get = async (path: string) => (await fetch(cluster.workerApi + path)).json();
    expect(await get("/status")).toEqual({ api_version: "v2" });
    expect(await get("/")).toMatchObject({ component: "appproxy-worker" });
    expect(await get("/health/livez")).toMatchObject({ status: "ok", connectivity: { overall_healthy: true } });
    expect(await get("/health")).toMatchObject({
      status: "ok",
      component: "appproxy-worker",
      connectivity: {
        overall_healthy: true,
        connectivity_checks: ["events", "coordinator", "circuits", "clock"].map((id) => ({ component_id: id })),
      },
      checks: { circuits: "known", coordinator: "reachable", events: "connected" },
    });
    expect(await status(`${cluster.workerApi}/health/readyz`)).toBe(200);
  });

  test("refuses other paths and methods, and may be read by any origin", async () => {
    const unknown = await fetch(`${cluster.workerApi}/constructor`);
    expect([unknown.status, unknown.headers.get("access-control-allow-origin")]).toEqual([404, "*"]);
    const posted = await fetch(`${cluster.workerApi}/status`, { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    expect((await fetch(`${cluster.workerApi}/setup`, { method: "OPTIONS" })).status).toBe(204);
  });
});
