/**
 * What an app leaves in Chromium on its port, where no header helps: over plain http on a name, browsers ignore
 * `Clear-Site-Data`, so a page clears what it can. And what stays: a person's own service worker.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { closedPage, startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";

const [ALICE, BOB] = [crypto.randomUUID(), crypto.randomUUID()];

/** As that of a web IDE's previews: it answers some addresses itself, and lets all others pass. */
const PREVIEWS = `self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => {
  if (new URL(event.request.url).pathname.startsWith("/preview/")) event.respondWith(new Response("from the service worker"));
});`;

let app: Bun.Server<undefined>;
let browser: Browser;
beforeAll(async () => {
  app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url }) {
      const { pathname } = new URL(url);
      if (pathname === "/sw.js") return new Response(PREVIEWS, { headers: { "Content-Type": "text/javascript" } });
      if (pathname.startsWith("/preview/")) return new Response("from the app");
      return new Response(`<!doctype html><h1>${pathname}</h1>`, { headers: { "Content-Type": "text/html" } });
    },
  });
  browser = await startBrowser();
}, 120_000);
afterAll(async () => {
  await browser.close();
  await app.stop(true);
});

async function open(
  cluster: Cluster,
  page: Page,
  user_uuid: string,
  wish: Record<string, unknown> = {},
  session_id: string = crypto.randomUUID(),
): Promise<string> {
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port ?? 0, user_uuid, session_id });
  const { body } = await cluster.manager.auth(token, sessionId, wish);
  await page.goto(`${String(body["redirect_url"])}#part`);
  // Not the page on the way in.
  await page.locator("h1", { hasNotText: "Opening the app" }).waitFor();
  return String(body["circuit_id"]);
}
const close = (cluster: Cluster, id: string) => cluster.manager.api("DELETE", `/api/circuit/${id}`);

const FILL = `(async () => {
  localStorage.setItem("left", "1");
  sessionStorage.setItem("left", "1");
  await new Promise((done) => { indexedDB.open("left").onsuccess = ({ target }) => { target.result.close(); done(); }; });
})()`;
const LEFT = `(async () => [localStorage.getItem("left"), sessionStorage.getItem("left"), (await indexedDB.databases()).map(({ name }) => name)])()`;

test("over plain http on a name, a page clears what the former tenant's app has stored on the port, once", async () => {
  const [host, api] = ["worker.one.example", await freePort()];
  const worker = {
    api_bind_addr: `127.0.0.1:${api}`,
    api_advertised_addr: `${host}:${api}`,
    port_proxy: { advertised_host: host },
  };
  const cluster = await startCluster({ worker, ports: 1 });
  const { page, errors } = await closedPage(browser);
  const hers = await open(cluster, page, ALICE);
  const origin = new URL(page.url()).origin;
  expect(new URL(origin).hostname).toBe(host);
  await page.evaluate(FILL);
  expect<unknown>(await page.evaluate(LEFT)).toEqual(["1", "1", ["left"]]);
  await close(cluster, hers);

  const his = crypto.randomUUID();
  await open(cluster, page, BOB, { redirect: "/lab?a=1&b=2" }, his);
  expect(page.url()).toBe(`${origin}/lab?a=1&b=2#part`);
  expect<unknown>(await page.evaluate(LEFT)).toEqual([null, null, []]);
  // What his own app stores stays.
  await page.evaluate(FILL);
  await open(cluster, page, BOB, { redirect: "/lab?a=1&b=2" }, his);
  expect(new URL(page.url()).origin).toBe(origin);
  expect([await page.evaluate(LEFT), errors] as unknown[]).toEqual([["1", "1", ["left"]], []]);
  await page.context().close();
  await cluster.stop();
}, 300_000);

test("a person who opens an app on their own port again has their service worker still, and it works", async () => {
  const cluster = await startCluster({ ports: 2 });
  const { page, errors } = await closedPage(browser);
  const first = await open(cluster, page, ALICE);
  const { origin, port } = new URL(page.url());
  const preview = () => page.evaluate(`fetch("/preview/1").then((answer) => answer.text())`);
  const registrations = () => page.evaluate("navigator.serviceWorker.getRegistrations().then(({ length }) => length)");
  expect(await preview()).toBe("from the app");
  await page.evaluate("navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready).then(() => null)"); // prettier-ignore
  await page.waitForFunction("navigator.serviceWorker.controller !== null");
  expect(await preview()).toBe("from the service worker");
  await until(async () => {
    const { body } = await cluster.manager.api("GET", "/api/slots?in_use=true");
    return (body["slots"] as { service_worker_of?: string }[]).some((one) => one.service_worker_of === ALICE);
  });
  // Somebody else's app in between goes elsewhere.
  await close(cluster, first);
  await close(cluster, await open(cluster, await browser.newPage(), BOB));

  await open(cluster, page, ALICE, { port: Number(port) });
  expect([new URL(page.url()).origin, await registrations(), await preview()]).toEqual([origin, 1, "from the service worker"]); // prettier-ignore
  // Its update passes too.
  await page.evaluate("navigator.serviceWorker.ready.then((own) => own.update()).then(() => null)");
  await page.reload();
  expect([await page.textContent("h1"), await preview(), errors] as unknown[]).toEqual([
    "/",
    "from the service worker",
    [],
  ]);
  await page.context().close();
  await cluster.stop();
}, 300_000);
