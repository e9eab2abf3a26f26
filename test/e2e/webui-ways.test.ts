/** Other ways in which the WebUI, older ones and other pages come to a link: each in Chromium, as they do it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { mintSetupToken } from "../../shared/protocol/jwt.ts";
import { startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { JWT_SECRET } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";
import { openWebUi } from "../support/webui.ts";
import { expectOpened, servePage, startSeenApp, startService, type SeenApp } from "../support/webui-stage.ts";

const JUPYTER = { app: "jupyter", protocol: "http" };

let browser: Browser;
let app: SeenApp;

beforeAll(async () => {
  browser = await startBrowser();
  app = startSeenApp("same-origin");
}, 600_000);

afterAll(async () => {
  await browser.close();
  await app.stop();
}, 600_000);

beforeEach(() => void (app.seen.length = 0));

describe("the WebUI", () => {
  let cluster: Cluster;
  let page: Bun.Server<undefined>;
  const visit = () => openWebUi(browser, `http://127.0.0.1:${page.port}/`);
  const start = () => startService(cluster, app.port);

  beforeAll(async () => {
    cluster = await startCluster({ ports: 32 });
    page = servePage();
  });
  afterAll(async () => {
    await cluster.stop();
    await page.stop(true);
  });

  test("opens an app again, which is reused then", async () => {
    const webui = await visit();
    const wish = { ...(await start()), ...JUPYTER, more: { redirect: "/lab" } };
    for (const reused of [false, true, true]) {
      const launched = await webui.launch(wish);
      expect(launched.reused).toBe(reused);
      await expectOpened(webui, launched.appConnectUrl, "/lab");
    }
    await webui.leave();
  }, 600_000);

  test("may put an old app proxy's permit_key on each address", async () => {
    const webui = await visit();
    await webui.page.evaluate(() => localStorage.setItem("backendaiwebui.appproxy-permit-key", "old+key/="));
    const { appConnectUrl } = await webui.launch({ ...(await start()), ...JUPYTER });
    expect(new URL(appConnectUrl).searchParams.get("permit_key")).toBe("old+key/=");
    await expectOpened(webui, appConnectUrl, "/");
    await webui.leave();
  }, 600_000);

  test("asks for a port, for address lists, environment and arguments in its own way", async () => {
    const webui = await visit();
    const port = String(cluster.ports[1]);
    const more = {
      port,
      open_to_public: "true",
      allowed_client_ips: "127.0.0.1,10.0.0.0/8",
      envs: JSON.stringify({ A: "1" }),
      args: JSON.stringify({ "--logdir": "/home/work/logs" }),
      is_inference: "true",
    };
    const { appConnectUrl } = await webui.launch({ ...(await start()), ...JUPYTER, more });
    const window = await webui.open(appConnectUrl);
    expect([window.url(), webui.errors]).toEqual([`http://127.0.0.1:${port}/`, []]);
    await webui.leave();
  }, 600_000);

  test("shows its user what went wrong where no worker is there", async () => {
    const webui = await visit();
    // Only a TCP worker could take it.
    const refused = webui.launch({ ...(await start()), app: "sshd", protocol: "tcp" });
    const message = await refused.catch((error: Error) => error.message);
    expect(message).toContain("No living worker carries interactive circuits of protocol tcp");
    await webui.leave();
  }, 600_000);

  test("opens TensorBoard again with other arguments, though it can't close it with its access key", async () => {
    const webui = await visit();
    const wish = { ...(await start()), app: "tensorboard", protocol: "http" };
    const args = (path: string) => ({ more: { args: JSON.stringify({ "--logdir": path }) } });
    await expectOpened(webui, (await webui.launch({ ...wish, ...args("/a") })).appConnectUrl, "/");
    // As with the original, which has no such route. The launcher goes on.
    expect(await webui.close(wish)).toBe(false);
    webui.errors.length = 0;
    const { token } = await cluster.manager.conf({ kernel_port: app.port, session_id: wish.sessionId });
    const again = await webui.launch({ ...wish, token, ...args("/b") });
    await expectOpened(webui, again.appConnectUrl, "/");
    await webui.leave();
  }, 600_000);

  test("of 2020 fetched the coordinator's address with a postfix, and opened the same", async () => {
    const webui = await visit();
    const { coordinator, token, sessionId } = await start();
    const query = new URLSearchParams({ ...JUPYTER, token, session_id: sessionId });
    const url = `${coordinator}/v2/proxy/auth?${query.toString()}&redirect=/tree`;
    await webui.page.evaluate(async (to) => void (await fetch(to, { mode: "no-cors", credentials: "include" })), url);
    await expectOpened(webui, url, "/tree");
    expect(app.seen).toEqual(["/tree"]);
    await webui.leave();
  }, 600_000);

  test("may be isolated from other origins", async () => {
    const isolated = servePage({ "Cross-Origin-Embedder-Policy": "require-corp" });
    const webui = await openWebUi(browser, `http://127.0.0.1:${isolated.port}/`);
    const { appConnectUrl } = await webui.launch({ ...(await start()), ...JUPYTER });
    await expectOpened(webui, appConnectUrl, "/");
    await webui.leave();
    await isolated.stop(true);
  }, 600_000);

  test("may have the worker's origin, where it reads the answer of its fetch", async () => {
    let api = "";
    const front = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request, self) {
        const { pathname, search } = new URL(request.url);
        const html = "<!doctype html><link rel=icon href=data:,>";
        if (pathname !== "/setup") return new Response(html, { headers: { "Content-Type": "text/html" } });
        const headers = new Headers(request.headers);
        headers.set("X-Forwarded-For", self.requestIP(request)?.address ?? "");
        return fetch(api + pathname + search, { headers, redirect: "manual" });
      },
    });
    const worker = { api_advertised_addr: `127.0.0.1:${front.port}`, trusted_proxies: ["127.0.0.1"] };
    const behind = await startCluster({ worker });
    api = behind.workerApi;
    const webui = await openWebUi(browser, `http://127.0.0.1:${front.port}/`);
    const { appConnectUrl } = await webui.launch({ ...(await startService(behind, app.port)), ...JUPYTER });
    expect(new URL(appConnectUrl).port).toBe(String(front.port));
    await expectOpened(webui, appConnectUrl, "/");
    await webui.leave();
    await behind.stop();
    await front.stop(true);
  }, 600_000);
});

test("over plain HTTP a page that tells no referrer opens an app as the same client, by a second ticket", async () => {
  const [host, api] = ["worker.one.example", await freePort()];
  const worker = {
    api_bind_addr: `127.0.0.1:${api}`,
    api_advertised_addr: `${host}:${api}`,
    port_proxy: { advertised_host: host },
  };
  const cluster = await startCluster({ worker });
  const page = servePage({ "Referrer-Policy": "no-referrer" });
  // Nothing tells its fetch from a program's, which is let in: it reaches the app.
  const open = startSeenApp("cross-origin");
  for (const name of ["webui.one.example", "webui.two.example"]) {
    const webui = await openWebUi(browser, `http://${name}:${page.port}/`);
    const { appConnectUrl } = await webui.launch({ ...(await startService(cluster, open.port)), ...JUPYTER });
    // Across sites the fetch is given no cookie (SameSite=Lax), so it ends at the app's door, as with the original.
    if (name === "webui.two.example") webui.errors.length = 0;
    await expectOpened(webui, appConnectUrl, "/");
    await webui.leave();
  }
  expect(open.seen).toEqual(["/", "/", "/"]);
  await page.stop(true);
  await cluster.stop();
  await open.stop();
}, 600_000);

test("a page that prefetches and prerenders a link leaves it whole, and a click opens the app", async () => {
  const cluster = await startCluster();
  const { token, sessionId } = await startService(cluster, app.port);
  const { body } = await cluster.manager.auth(token, sessionId);
  const claims = { id: token, circuit: String(body["circuit_id"]), redirect: "" };
  // A busy machine may take longer to the click than a link's minute.
  const jwt = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now() + 500_000);
  const link = `${cluster.workerApi}/setup?token=${jwt}`;
  const urls = [{ urls: [link], eagerness: "immediate" }];
  const rules = JSON.stringify({ prefetch: urls, prerender: urls });
  const html = `<!doctype html><link rel=icon href=data:,><link rel=prefetch href="${link}">
    <script type=speculationrules>${rules}</script><a href="${link}">open</a>`;
  const page = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(html, { headers: { "Content-Type": "text/html" } }),
  });
  const webui = await openWebUi(browser, "about:blank");
  let speculated = 0;
  webui.context.on("response", (answer) => {
    if (answer.url() === link) speculated++;
  });
  await webui.page.goto(`http://127.0.0.1:${page.port}/`);
  await until(() => speculated > 1, 60_000, "Chromium to prefetch the link in both ways");
  await webui.page.click("a");
  await webui.page.waitForSelector("h1");
  expect([webui.errors, app.seen]).toEqual([[], ["/"]]);
  await webui.leave();
  await page.stop(true);
  await cluster.stop();
}, 600_000);
