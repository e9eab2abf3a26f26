/** What another user's app left on a slot: when entry clears it, and what of it. Chromium's part is in test/e2e/tenants.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  CLEARING,
  clearingFromOutside,
  expireCookies,
  isTrustworthy,
  mayHoldLeavings,
} from "../../../worker/access/leavings.ts";
import { startApp, type App } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { circuit } from "../../support/values.ts";

const SINCE = Date.parse("2026-08-23T00:00:00.400Z");
const permit = (ms: number) => ({ uid: "u", cid: "c", iat: Math.floor(ms / 1000), exp: 1e12 });

describe("a browser may hold what was left", () => {
  const recycled = circuit({ recycled_at: new Date(SINCE).toISOString() });
  test.each([
    ["without a permit", null, true],
    ["with a permit of before the circuit came to its slot", permit(SINCE - 1000), true],
    ["not with one of since then", permit(SINCE), false],
  ])("%s", (_when, held, expected) => {
    expect([mayHoldLeavings(recycled, held), mayHoldLeavings(circuit(), held)]).toEqual([expected, false]);
  });
});

describe("cookies", () => {
  const wild = circuit({ frontend_mode: "wildcard", port: null, subdomain: "lab" });
  const HEADER =
    "a=1; __Host-b=2; =c; appproxy_permit_c1c1c1c1=x; __Host-appproxy_permit_c1c1c1c1=y; a=3; d; __Secure-e=";

  test("of a name's own are expired, each once, ours excepted", () => {
    expect(expireCookies(wild, HEADER).map(([, line]) => line)).toEqual([
      "a=; Path=/; Max-Age=0",
      "__Host-b=; Path=/; Max-Age=0; Secure",
      "__Secure-e=; Path=/; Max-Age=0; Secure",
    ]);
  });

  test("of a host's ports are nobody's alone, and stay", () => {
    expect([expireCookies(circuit(), HEADER), expireCookies(wild, null)]).toEqual([[], []]);
  });
});

test.each([
  ["127.0.0.1:10205", true],
  ["127.9.9.9", true],
  ["[::1]:80", true],
  ["localhost:1", true],
  ["lab.apps.localhost:1", true],
  ["apps.example:10205", false],
  ["localhost.example", false],
  ["10.0.0.1", false],
  ["", false],
])("browsers take Clear-Site-Data over plain http from %p: %p", (host, expected) => {
  expect([isTrustworthy(false, host), isTrustworthy(true, host)]).toEqual([expected, true]);
});

// Chromium 156 drops `http://[::1]:10205` from the policy, and with it the page's fetch.
test.each([
  ["http://apps.example:10205/_appproxy/enter?t=x", "http://apps.example:10205"],
  ["http://[2001:db8::1]:10205/_appproxy/enter?t=x", "http:"],
])("the page that has %s cleared from outside may ask %s", (onward, source) => {
  const policy = clearingFromOutside(onward, [], "en").headers.find(
    ([name]) => name === "Content-Security-Policy",
  )?.[1];
  expect(policy).toContain(`connect-src ${source};`);
});

describe("entry", () => {
  let cluster: Cluster;
  let app: App;
  // Each test's first tenant has a port that nobody had before.
  beforeEach(async () => {
    cluster = await startCluster({ ports: 2 });
    app = startApp();
  });
  afterEach(async () => {
    await cluster.stop();
    await app.stop();
  });

  /** The address of entry for a new opening by this user. */
  async function opening(user_uuid: string, session_id: string): Promise<string> {
    const setup = await fetch(await link(user_uuid, session_id), { redirect: "manual" });
    return setup.headers.get("location") ?? "";
  }
  async function link(user_uuid: string, session_id: string, wish: Record<string, unknown> = {}): Promise<string> {
    const { token } = await cluster.manager.conf({ kernel_port: app.port, user_uuid, session_id });
    const at = { port: cluster.ports[0], redirect: "/lab?a=1&b=2", ...wish };
    return String((await cluster.manager.auth(token, session_id, at)).body["redirect_url"]);
  }
  const end = async (session_id: string) => {
    const { body } = await cluster.manager.api("GET", `/api/circuits?session_id=${session_id}`);
    for (const { id } of body["circuits"] as { id: string }[])
      await cluster.manager.api("DELETE", `/api/circuit/${id}`);
  };
  const cleared = ({ headers }: Response) => CLEARING.map(([name]) => headers.get(name));
  const ALL = CLEARING.map(([, value]) => value);
  const NOTHING = CLEARING.map(() => null);

  test("clears a slot that was another user's, once a browser, and keeps the permit that it sets", async () => {
    const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
    const [hers, his] = [crypto.randomUUID(), crypto.randomUUID()];
    const fresh = await fetch(await opening(alice, hers), { redirect: "manual" });
    expect([fresh.status, cleared(fresh)]).toEqual([303, NOTHING]);
    await end(hers);

    const url = await opening(bob, his);
    // What another origin's page asks for is cleared too, without using the ticket up.
    const quiet = { headers: { "Sec-Fetch-Mode": "no-cors" } };
    const outside = await fetch(url, quiet);
    expect([outside.status, cleared(outside)]).toEqual([204, ALL]);
    expect(cleared(await fetch(url.replace(/t=.*/, "t=forged"), quiet))).toEqual(NOTHING);
    const entered = await fetch(url, { redirect: "manual", headers: { cookie: "theirs=1" } });
    expect([entered.status, entered.headers.get("location"), cleared(entered)]).toEqual([303, "/lab?a=1&b=2", ALL]);
    const lines = entered.headers.getSetCookie();
    expect(lines).toEqual([expect.stringMatching(/^appproxy_permit_[0-9a-f]{8}=v3\./)]);

    const cookie = lines[0]?.split(";")[0] ?? "";
    const again = await fetch(await opening(bob, his), { redirect: "manual", headers: { cookie } });
    expect([again.status, cleared(again)]).toEqual([303, NOTHING]);
    expect(cleared(await fetch(await opening(bob, his), { ...quiet, headers: { ...quiet.headers, cookie } }))).toEqual(NOTHING); // prettier-ignore

    // Where the header is ignored, a page does what it can and goes on.
    const plain = await fetch(await opening(bob, his), { redirect: "manual", headers: { Host: "apps.example" } });
    const page = await plain.text();
    expect([plain.status, plain.headers.get("content-security-policy"), plain.headers.getSetCookie().length]).toEqual([200, expect.stringContaining("script-src 'sha256-"), 1]); // prettier-ignore
    expect(page).toContain('<a href="/lab?a=1&amp;b=2">');
    await end(his);
  });

  test("by a browser's navigation leads over a page that has the slot cleared from outside, once a browser", async () => {
    const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
    const [hers, his] = [crypto.randomUUID(), crypto.randomUUID()];
    const navigation = { "Sec-Fetch-Mode": "navigate" };
    await link(alice, hers);
    await end(hers);
    const cleared = await fetch(await link(bob, his), { headers: navigation, redirect: "manual" });
    const origin = `http://127.0.0.1:${cluster.ports[0]}`;
    expect([cleared.status, cleared.headers.get("content-security-policy")]).toEqual([200, expect.stringContaining(`connect-src ${origin};`)]); // prettier-ignore
    const onward = /href="([^"]+)"/.exec(await cleared.text())?.[1] ?? "";
    const entered = await fetch(onward, { redirect: "manual" });
    const cookie = entered.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    const again = await fetch(await link(bob, his), { headers: { ...navigation, cookie }, redirect: "manual" });
    expect([again.status, again.headers.get("location")]).toEqual([
      302,
      expect.stringContaining("/_appproxy/enter?t="),
    ]);
    await end(his);
  });

  test("to a public circuit clears too and lets nobody into anything; a visitor needs no entry", async () => {
    const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
    const [hers, his] = [crypto.randomUUID(), crypto.randomUUID()];
    await link(alice, hers);
    await end(hers);
    const open = () => link(bob, his, { open_to_public: true });
    const setup = await fetch(await open(), { redirect: "manual" });
    const onward = setup.headers.get("location") ?? "";
    const entered = await fetch(onward, { redirect: "manual" });
    expect([entered.status, entered.headers.get("location"), cleared(entered)]).toEqual([303, "/lab?a=1&b=2", ALL]);
    const cookie = entered.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    const known = await fetch(await open(), { headers: { cookie }, redirect: "manual" });
    expect([known.status, new URL(known.headers.get("location") ?? "").pathname]).toEqual([302, "/lab"]);
    // A ticket that is used, or none: the app is public.
    const used = await fetch(onward, { redirect: "manual" });
    expect([used.status, used.headers.get("location"), cleared(used)]).toEqual([303, "/lab?a=1&b=2", NOTHING]);
    expect((await fetch(`http://127.0.0.1:${cluster.ports[0]}/`)).status).toBe(200);
    await end(his);
  });

  test("clears for an open circuit too, which needs no permit, also in another site's frame", async () => {
    const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
    const wish = { port: cluster.ports[1] };
    const former = await cluster.manager.enter({ kernel_port: app.port, user_uuid: alice }, wish);
    await cluster.manager.api("DELETE", `/api/circuit/${former.circuitId}`);
    const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port, user_uuid: bob });
    const opened = await cluster.manager.auth(token, sessionId, { ...wish, open_to_public: true, redirect: "/lab" });
    const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual" });
    const link = setup.headers.get("location") ?? "";
    const frame = { "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site" };
    const entered = await fetch(link, { redirect: "manual", headers: frame });
    expect([entered.status, entered.headers.get("location"), cleared(entered)]).toEqual([303, "/lab", ALL]);
    // Its link may be passed on.
    const again = await fetch(link, { redirect: "manual" });
    expect([again.status, again.headers.get("location")]).toEqual([303, "/lab"]);
  });
});
