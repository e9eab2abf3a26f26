/**
 * What one tenant leaves does not reach the next, in Chromium: a hostile service worker, what an app has stored, permits
 * that pile up. Over http on loopback, where browsers take service workers, and over https; by port and by name.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { startBrowser } from "../support/browser.ts";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import type { ClusterSettings } from "../support/toml.ts";
import { until } from "../support/until.ts";

const ALICE = crypto.randomUUID();
const BOB = crypto.randomUUID();

/** An app that registers a service worker which answers every navigation itself, and tells the address that it saw. */
const HOSTILE = `self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate")
    event.respondWith(new Response("<h1>hostile</h1>" + event.request.url, { headers: { "Content-Type": "text/html" } }));
});`;

function startHostile(title = "app", more: Record<string, string> = {}): { port: number; stop(): Promise<void> } {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname === "/sw.js"
        ? new Response(HOSTILE, { headers: { "Content-Type": "text/javascript" } })
        : new Response(`<!doctype html><h1>${title}</h1>`, { headers: { "Content-Type": "text/html", ...more } }),
  });
  return { port: server.port ?? 0, stop: () => server.stop(true) };
}

let browser: Browser;
let hostile: ReturnType<typeof startHostile>;
/** A kernel of its own: an address is one session's. */
let another: ReturnType<typeof startHostile>;
/** Its pages stay in the browser's cache for good. */
let poisoned: ReturnType<typeof startHostile>;
let certificates: Certificates;
beforeAll(async () => {
  certificates = startCertificates("127.0.0.1");
  hostile = startHostile();
  another = startHostile();
  poisoned = startHostile("poisoned", { "Cache-Control": "max-age=31536000, immutable" });
  // Chromium registers no service worker behind a certificate that it does not know.
  browser = await startBrowser(["--ignore-certificate-errors"]);
}, 60_000);
afterAll(async () => {
  await browser.close();
  await hostile.stop();
  await another.stop();
  await poisoned.stop();
  certificates.remove();
});

const wildcard = {
  frontend_mode: "wildcard",
  wildcard_domain: { domain: ".apps.localhost", bind_addr: "127.0.0.1:0" },
};
const SHAPES: [name: string, tls: boolean, worker: Record<string, unknown>][] = [
  ["http, by port", false, {}],
  ["http, by name", false, wildcard],
  ["https, by port", true, {}],
  ["https, by name", true, wildcard],
];

async function redirectOf(cluster: Cluster, user: string, wish: Record<string, unknown> = {}, app = hostile) {
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port, user_uuid: user });
  const opened = await cluster.manager.auth(token, sessionId, wish);
  expect(opened.status).toBe(200);
  return { url: String(opened.body["redirect_url"]), id: String(opened.body["circuit_id"]) };
}
const close = (cluster: Cluster, id: string) => cluster.manager.api("DELETE", `/api/circuit/${id}`);
const text = (page: Page) => page.textContent("h1");

describe.each(SHAPES)("%s:", (_name, tls, worker) => {
  let cluster: Cluster;
  beforeAll(async () => {
    const files = tls ? { tls_listen: true, tls_cert: certificates.cert, tls_privkey: certificates.key } : {};
    const settings: ClusterSettings = { worker: { ...worker, ...files } };
    cluster = await startCluster({ ...settings, ports: 4 });
  }, 60_000);
  afterAll(() => cluster.stop());
  const slotOf = (page: Page) => new URL(page.url()).host;
  const wishOf = (page: Page) =>
    worker === wildcard ? { subdomain: new URL(page.url()).hostname.split(".")[0] } : { port: Number(new URL(page.url()).port) }; // prettier-ignore

  test("the former tenant's service worker never sees the next one's ticket", async () => {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    const hers = await redirectOf(cluster, ALICE, worker === wildcard ? { subdomain: "lab" } : {});
    await page.goto(hers.url);
    const slot = slotOf(page);
    const wish = wishOf(page);
    await page.evaluate(
      "navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready).then(() => null)",
    );
    await page.goto(page.url());
    // What she has done to this browser: the app's own pages are hers to answer now.
    expect(await text(page)).toBe("hostile");
    await until(async () => {
      const { body } = await cluster.manager.api("GET", "/api/slots?in_use=false");
      return (body["slots"] as { service_worker_of?: string }[]).some((one) => one.service_worker_of === ALICE);
    });
    await close(cluster, hers.id);

    const his = await redirectOf(cluster, BOB, worker === wildcard ? { subdomain: "lab" } : {});
    await page.goto(his.url);
    expect([await text(page), slotOf(page) === slot]).toEqual(["app", false]);
    await close(cluster, his.id);
    // Her own slot is still hers, service worker and all.
    await page.goto((await redirectOf(cluster, ALICE, wish)).url);
    expect([await text(page), slotOf(page)]).toEqual(["hostile", slot]);
    await page.context().close();
  }, 300_000);

  test("nor is the former tenant's page shown for the next one's open app, which needs no permit", async () => {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    const hers = await redirectOf(cluster, ALICE, {}, poisoned);
    await page.goto(hers.url);
    expect(await text(page)).toBe("poisoned");
    const [slot, wish] = [slotOf(page), wishOf(page)];
    await close(cluster, hers.id);

    const his = await redirectOf(cluster, BOB, { ...wish, open_to_public: true }, another);
    await page.goto(his.url);
    expect([await text(page), slotOf(page)]).toEqual(["app", slot]);
    await close(cluster, his.id);
    await page.context().close();
  }, 300_000);

  test("what the former tenant's app has stored on the slot is gone for the next one, and nothing else", async () => {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    const other = await redirectOf(cluster, BOB, {}, another);
    await page.goto(other.url);
    const NAME = "`left_${location.port}_${location.hostname.split('.')[0]}`";
    const fill = () => page.evaluate(`localStorage.setItem("left", "1"); document.cookie = ${NAME} + "=1; path=/";`);
    const left = () => page.evaluate(`[localStorage.getItem("left"), document.cookie.includes(${NAME})]`);
    await fill();
    const elsewhere = page.url();
    const hers = await redirectOf(cluster, ALICE);
    await page.goto(hers.url);
    await fill();
    const [slot, wish] = [slotOf(page), wishOf(page)];
    await close(cluster, hers.id);

    const his = await redirectOf(cluster, BOB, wish);
    await page.goto(his.url);
    expect(slotOf(page)).toBe(slot);
    // By port a host's cookies are all its ports'.
    expect([await text(page), await left()]).toEqual(["app", [null, worker !== wildcard]]);
    await page.goto(elsewhere);
    expect([await text(page), await left()]).toEqual(["app", ["1", true]]);
    await page.context().close();
  }, 300_000);
});
