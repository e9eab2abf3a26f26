/**
 * A port on which another person's app has registered a service worker is given out when all else is taken. In Chromium that
 * service worker answers nothing of what comes then, neither at the first opening nor later.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { startBrowser } from "../support/browser.ts";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { startCluster } from "../support/cluster.ts";
import { until } from "../support/until.ts";

/** Takes over at once, and answers every navigation itself. */
const HOSTILE = `self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate")
    event.respondWith(new Response("<h1>hostile</h1>", { headers: { "Content-Type": "text/html" } }));
});`;

function startPage(title: string): { port: number; stop(): Promise<void> } {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname === "/sw.js"
        ? new Response(HOSTILE, { headers: { "Content-Type": "text/javascript" } })
        : new Response(`<!doctype html><link rel=icon href=data:,><h1>${title}</h1>`, { headers: { "Content-Type": "text/html" } }), // prettier-ignore
  });
  return { port: server.port ?? 0, stop: () => server.stop(true) };
}

let browser: Browser;
let certificates: Certificates;
const [hers, his] = [startPage("hers"), startPage("his")];
beforeAll(async () => {
  certificates = startCertificates("127.0.0.1");
  // Chromium registers no service worker behind a certificate that it does not know.
  browser = await startBrowser(["--ignore-certificate-errors"]);
}, 60_000);
afterAll(async () => {
  await browser.close();
  await hers.stop();
  await his.stop();
  certificates.remove();
});

test.each([
  ["http", false],
  ["http", true],
  ["https", false],
  ["https", true],
] as const)(
  "over %s, for an app that is open to the public: %p",
  async (scheme, isPublic) => {
    const tls = { tls_listen: true, tls_cert: certificates.cert, tls_privkey: certificates.key };
    const cluster = await startCluster({ ports: 1, worker: scheme === "https" ? tls : {} });
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    const title = () => page.textContent("h1");
    const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
    const open = async (user: string, app: number, wish = {}) => {
      const { token, sessionId } = await cluster.manager.conf({ kernel_port: app, user_uuid: user });
      const { body } = await cluster.manager.auth(token, sessionId, wish);
      await page.goto(String(body["redirect_url"]));
      return { id: String(body["circuit_id"]) };
    };

    const { id } = await open(alice, hers.port);
    await page.evaluate("navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready).then(() => null)"); // prettier-ignore
    await page.reload();
    expect(await title()).toBe("hostile");
    await until(async () => {
      const { body } = await cluster.manager.api("GET", "/api/slots?in_use=false");
      return (body["slots"] as { service_worker_of?: string }[]).some((one) => one.service_worker_of === alice);
    });
    await cluster.manager.api("DELETE", `/api/circuit/${id}`);
    // It is as if that were long ago.
    const database = new Database(cluster.config.coordinator.db.path);
    database.run("PRAGMA busy_timeout = 10000");
    database.run("UPDATE used_slots SET service_worker_at = 0");
    database.close();

    await open(bob, his.port, { open_to_public: isPublic });
    // A page of ours on another origin clears what is there, and goes on.
    await page.waitForURL(`${scheme}://127.0.0.1:${cluster.ports[0]}/`, { timeout: 240_000 });
    const first = await title();
    await page.reload();
    expect([first, await title()]).toEqual(["his", "his"]);
    await page.context().close();
    await cluster.stop();
  },
  300_000,
);
