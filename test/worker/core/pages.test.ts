/** Pages of real workers: what is said where, how often, who waits for an app, and where links lead. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { startStage, type Opened, type Stage } from "../../contract/stage.ts";
import { startApp, type App } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { freePort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";

const HTML = "text/html,application/xhtml+xml,*/*;q=0.8";
const CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

interface Page {
  status: number;
  headers: Headers;
  body: string;
}

async function look(url: string, headers: Record<string, string> = {}): Promise<Page> {
  const answer = await fetch(url, { redirect: "manual", headers: { Accept: HTML, ...headers } });
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
}

/** As a browser does that was let in. */
const visit = (to: Opened, path: string, headers: Record<string, string> = {}) =>
  look(to.url(path), { ...Object.fromEntries(to.headers()), ...headers });

/** Where the links of a page lead. */
const links = ({ body }: Page) => [...body.matchAll(/<a href="([^"]*)"/g)].map(([, href]) => href);

describe("a name without an app", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage({ engine: "serve", frontend: "wildcard", place: "in process" });
  });
  afterAll(() => stage.stop());

  test.each([
    ["en-US,en", "There is no app here any more"],
    ["ko-KR,ko;q=0.9,en;q=0.8", "이 주소에는 더 이상 앱이 없습니다"],
  ])("has a page that says so, in %s", async (language, title) => {
    const to = await stage.open({ upstream: 1 });
    await stage.close(to);
    for (const host of [to.host, "never-was.apps.test"]) {
      const page = await look(to.url("/"), { Host: host, "Accept-Language": language });
      expect([page.status, page.headers.get("content-language")]).toEqual([404, language.slice(0, 2)]);
      expect(page.body).toContain(`<h1>${title}</h1>`);
      expect(page.body).not.toMatch(/E20009|Bad request/);
    }
  });

  test("is 404 for programs, which find the text that they know", async () => {
    const to = await stage.open({ upstream: 1 });
    await stage.close(to);
    const { status, body } = await look(to.url("/"), { Host: to.host, Accept: "application/json" });
    expect([status, JSON.parse(body)]).toEqual([
      404,
      expect.objectContaining({ msg: `E20009: Subdomain ${to.circuit.subdomain} not registered` }),
    ]);
  });
});

describe("an app that is not there", () => {
  let stage: Stage;
  const servers: Bun.Server<undefined>[] = [];
  beforeAll(async () => {
    stage = await startStage({ engine: "serve", frontend: "port", place: "in process" });
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop(true);
  });
  afterAll(() => stage.stop());

  function listen(port: number): Bun.Server<undefined> {
    const server = Bun.serve({ hostname: "127.0.0.1", port, fetch: () => new Response("here it is") });
    servers.push(server);
    return server;
  }

  const told = (to: Opened) =>
    stage.lines.filter((line) => line["msg"] === "request refused" && line["circuit"] === to.circuit.id);

  /** A circuit whose app has answered once and is gone. */
  async function gone(): Promise<{ to: Opened; port: number }> {
    const port = await freePort();
    const to = await stage.open({ upstream: port });
    const server = listen(port);
    expect((await visit(to, "/")).body).toBe("here it is");
    await server.stop(true);
    return { to, port };
  }

  test("has one error id and one log line, however often its page comes back, until it has answered", async () => {
    const { to, port } = await gone();
    const ids = new Set<string | null>();
    for (const path of ["/", "/a", "/b?x=1", "/"]) ids.add((await visit(to, path)).headers.get("x-error-id"));
    ids.add((await visit(to, "/", { Accept: "application/json" })).headers.get("x-error-id"));
    expect([ids.size, told(to).length, told(to)[0]?.["error_id"]]).toEqual([1, 1, [...ids][0]]);
    const back = listen(port);
    expect((await visit(to, "/")).status).toBe(200);
    await back.stop(true);
    const next = (await visit(to, "/")).headers.get("x-error-id");
    expect([ids.has(next), told(to).length]).toEqual([false, 2]);
  });

  test("says that it starts and for how long, and looks again; so does one that is gone", async () => {
    const starting = await stage.open({
      upstream: await freePort(),
      circuit: { created_at: new Date(Date.now() - 42_000).toISOString() },
    });
    const first = await visit(starting, "/");
    expect([first.status, first.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(first.body).toMatch(/It has been starting for 4\d seconds\./);
    expect(first.body).toMatch(/<meta http-equiv="refresh" content="\d+">/);
    const { to } = await gone();
    const second = await visit(to, "/", { "Accept-Language": "ko" });
    expect([second.status, second.body.includes("앱이 응답하지 않습니다")]).toEqual([502, true]);
    expect(second.body).toMatch(/<meta http-equiv="refresh" content="\d+">/);
    // What was sent is not sent again by itself.
    const answer = await fetch(to.url("/"), {
      method: "POST",
      body: "x=1",
      headers: { ...Object.fromEntries(to.headers()), Accept: HTML, "Sec-Fetch-Mode": "navigate" },
    });
    expect([answer.status, /http-equiv="refresh"/.test(await answer.text())]).toEqual([502, false]);
  });

  test("knows one that broke off from one that refuses", async () => {
    const breaking = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => socket.terminate() },
    });
    const to = await stage.open({ upstream: breaking.port });
    const page = await visit(to, "/");
    expect([page.status, page.body.includes("<h1>The app broke off</h1>")]).toEqual([502, true]);
    breaking.stop(true);
  });

  test("is framed for browsers that would only scroll at a refresh, in the same answer", async () => {
    const { to } = await gone();
    const page = await visit(to, "/", { "User-Agent": CHROME });
    expect([page.status, page.body.includes("<frameset")]).toEqual([502, true]);
    expect(page.headers.get("content-security-policy")).toEndWith("; frame-src data:");
  });

  test("is waited for by its own page, which gets the app as soon as it listens", async () => {
    const { to, port } = await gone();
    expect((await visit(to, "/x?y=1")).status).toBe(502);
    // Who came from elsewhere is answered at once: were this held, the app would be there before the answer.
    expect((await visit(to, "/x?y=1", { Referer: to.url("/") })).status).toBe(502);
    const [one, other] = [1, 2].map(() => visit(to, "/x?y=1", { Referer: to.url("/x?y=1") }));
    const held = { done: false };
    void one?.then(() => (held.done = true));
    expect((await visit(to, "/x?y=1")).status).toBe(502);
    expect(held.done).toBe(false);
    listen(port);
    expect([(await one)?.body, (await other)?.body]).toEqual(["here it is", "here it is"]);
  });

  test("is not asked for a page that was left while it waited", async () => {
    const { to, port } = await gone();
    await visit(to, "/");
    const left = new AbortController();
    const wait = (path: string, signal: AbortSignal | null = null) =>
      fetch(to.url(path), { signal, headers: { ...Object.fromEntries(to.headers()), Referer: to.url(path) } });
    const leaving = wait("/left", left.signal).catch(() => "left");
    const staying = wait("/stayed");
    // Both wait by now: what came later has been answered.
    await visit(to, "/");
    left.abort();
    expect(await leaving).toBe("left");
    await visit(to, "/");
    const seen: string[] = [];
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      fetch: ({ url }) => (seen.push(new URL(url).pathname), new Response("here it is")),
    });
    servers.push(server);
    expect(await (await staying).text()).toBe("here it is");
    expect((await visit(to, "/last")).status).toBe(200);
    expect(seen).toEqual(["/stayed", "/last"]);
  });

  test("whose circuit ends meanwhile gives its waiting page that news", async () => {
    const { to } = await gone();
    const stays = await stage.open({ upstream: await freePort() });
    expect((await visit(to, "/")).status).toBe(502);
    const waiting = visit(to, "/", { Referer: to.url("/") }).catch(() => null);
    await stage.close(to);
    // In port mode the port is closed with it.
    expect([null, 404, 502]).toContain((await waiting)?.status ?? null);
    await stage.close(stays);
  });
});

describe("the way back", () => {
  let app: App;
  const clusters: Cluster[] = [];
  beforeAll(() => {
    app = startApp();
  });
  afterEach(async () => {
    for (const cluster of clusters.splice(0)) await cluster.stop();
  });
  afterAll(() => app.stop());

  async function cluster(settings: Parameters<typeof startCluster>[0]): Promise<Cluster> {
    const started = await startCluster(settings);
    clusters.push(started);
    return started;
  }

  /** Opens an app as the platform's pages do; gives the link and where it leads. */
  async function open({ manager }: Cluster, from: Record<string, string>, port = app.port) {
    const { token, sessionId } = await manager.conf({ kernel_port: port });
    const { body } = await manager.auth(token, sessionId, {}, from);
    const link = String(body["redirect_url"]);
    const enter = (await fetch(link, { redirect: "manual" })).headers.get("location") ?? "";
    return { link, origin: new URL(enter).origin, token, sessionId };
  }

  test("is the coordinator's home_url, on its pages and on the worker's, wherever people came from", async () => {
    const site = await cluster({ coordinator: { home_url: "https://web.example.com/sessions" } });
    const { origin, token } = await open(site, { Origin: "https://elsewhere.example" });
    const refused = await look(origin);
    expect([refused.status, links(refused)]).toEqual([401, ["https://web.example.com/sessions"]]);
    expect(links(await look(`${site.workerApi}/setup`))).toEqual(["https://web.example.com/sessions"]);
    const query = `token=${crypto.randomUUID()}&session_id=${crypto.randomUUID()}&app=jupyter&protocol=http`;
    const expired = await look(`${site.manager.baseUrl}/v2/proxy/auth?${query}`, { "Accept-Language": "ko" });
    expect([expired.status, links(expired)]).toEqual([404, ["https://web.example.com/sessions"]]);
    expect(expired.body).toContain("링크가 만료되었습니다");
    expect(token).not.toBe("");
  });

  test("is the worker's own key where the coordinator says nothing", async () => {
    const site = await cluster({ worker: { home_url: "http://web.internal:8080" } });
    expect(links(await look(`${site.workerApi}/setup`))).toEqual(["http://web.internal:8080/"]);
  });

  test("is the site from which the circuit was opened where neither has one, and what anybody else says is not", async () => {
    const site = await cluster({});
    const { origin } = await open(site, { Origin: "https://web.example.com" });
    for (const headers of [{}, { Referer: "https://evil.example/", Origin: "https://evil.example" }])
      expect(links(await look(origin, headers))).toEqual(["https://web.example.com/"]);
    expect(links(await look(`${site.workerApi}/setup`, { Referer: "https://evil.example/" }))).toEqual([]);
    // Nobody need listen there: who was not let in does not come so far.
    const other = await open(site, { Referer: "https://second.example/deep/page?secret=1" }, await freePort());
    expect(links(await look(other.origin))).toEqual(["https://second.example/"]);
    expect(links(await look(origin))).toEqual(["https://web.example.com/"]);
  });

  test("is told in words where nobody knows it", async () => {
    const site = await cluster({});
    const { origin } = await open(site, {});
    const page = await look(origin);
    expect([links(page), page.body.includes("Go back to the page where you opened the app")]).toEqual([[], true]);
  });

  test("is not the last tenant's where another circuit has the slot", async () => {
    const site = await cluster({ ports: 1 });
    const first = await open(site, { Origin: "https://evil.example" });
    await site.manager.call("GET", `/v2/proxy/${first.token}/${first.sessionId}/delete?app=jupyter`);
    await until(() => look(first.origin).then(() => false, () => true)); // prettier-ignore
    const second = await site.manager.conf({ kernel_port: app.port, session_id: first.sessionId });
    await site.manager.auth(second.token, second.sessionId);
    const page = await look(first.origin);
    expect([page.status, links(page)]).toEqual([401, []]);
  });
});

describe("in a frame of another site", () => {
  const FRAME = { "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site" };
  let site: Cluster;
  let app: App;
  beforeAll(async () => {
    app = startApp();
    site = await startCluster({});
  });
  afterAll(async () => {
    await site.stop();
    await app.stop();
  });

  test("a tab of its own is offered, whose link lets in once and not the frame's again", async () => {
    const { token, sessionId } = await site.manager.conf({ kernel_port: app.port });
    const { body } = await site.manager.auth(token, sessionId, { redirect: "/lab" });
    const enter = (await fetch(String(body["redirect_url"]), { redirect: "manual" })).headers.get("location") ?? "";
    const page = await look(enter, FRAME);
    expect([page.status, page.headers.get("set-cookie")]).toEqual([401, null]);
    expect(page.body).toContain("<h1>This app needs a tab of its own</h1>");
    expect(page.body).toContain('target="_blank" rel="noopener noreferrer">Open the app in a new tab</a>');
    const tab = new URL(links(page)[0] ?? "", enter).href;
    const opened = await look(tab);
    expect([opened.status, opened.headers.get("location")]).toEqual([303, "/lab"]);
    expect(opened.headers.get("set-cookie")).toContain("SameSite=Lax");
    for (const link of [tab, enter]) {
      const again = await look(link);
      expect([again.status, again.body.includes("This link was used already")]).toEqual([401, true]);
    }
  });

  test("of the same site there is nothing special", async () => {
    const { token, sessionId } = await site.manager.conf({ kernel_port: app.port });
    const { body } = await site.manager.auth(token, sessionId);
    const enter = (await fetch(String(body["redirect_url"]), { redirect: "manual" })).headers.get("location") ?? "";
    expect((await look(enter, { ...FRAME, "Sec-Fetch-Site": "same-site" })).status).toBe(303);
  });
});
