/**
 * Apps in a frame of a platform's page at another site, over https, in Chromium that keeps third-party cookies and in one that
 * does not: with `same_site = "lax"` the frame has a link to a tab of its own, with `"none"` it has the app.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { BrowserContext, FrameLocator, Page } from "playwright-core";
import { startBrowser, startProfile } from "../support/browser.ts";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";

/** Of one step in the browser. Milliseconds. */
const STEP_MS = 120_000;

const ANY_CERTIFICATE = ["--ignore-certificate-errors"];

const FRONTENDS: [name: string, worker: Record<string, unknown>][] = [
  ["port", {}],
  // Of another site than the platform's: what follows an unknown top-level domain is one each.
  ["name", { frontend_mode: "wildcard", wildcard_domain: { domain: ".apps.example", bind_addr: "127.0.0.1:0" } }],
];

let certificates: Certificates;
let app: ReturnType<typeof startApp>;
let platform: ReturnType<typeof startPlatform>;
beforeAll(() => {
  certificates = startCertificates("127.0.0.1");
  app = startApp();
  platform = startPlatform(certificates);
});
afterAll(async () => {
  await platform.stop();
  await app.stop();
  certificates.remove();
});

const BROWSERS: [cookies: string, blocked: boolean, start: () => Promise<BrowserContext>][] = [
  ["kept", false, () => startProfile(ANY_CERTIFICATE)],
  ["blocked", true, async () => (await startBrowser(ANY_CERTIFICATE)).newContext()],
];

describe.each(BROWSERS)("with third-party cookies %s,", (_cookies, blocked, start) => {
  let context: BrowserContext;
  beforeAll(async () => {
    context = await start();
    context.setDefaultTimeout(STEP_MS);
  }, 120_000);
  afterAll(async () => {
    await context.close();
    await context.browser()?.close();
  }, 120_000);

  describe.each(FRONTENDS)("an app with a %s of its own", (_frontend, section) => {
    const clusters: Cluster[] = [];
    afterAll(async () => {
      for (const cluster of clusters) await cluster.stop();
    });

    /** A person looks at a page of the platform that shows an app in a frame. */
    async function visit(sameSite: "lax" | "none") {
      const files = { tls_listen: true, tls_cert: certificates.cert, tls_privkey: certificates.key };
      const cluster = await startCluster({ worker: { ...section, ...files }, permit: { same_site: sameSite } });
      clusters.push(cluster);
      const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port });
      const { body } = await cluster.manager.auth(token, sessionId, { redirect: "/?a=1" });
      await context.clearCookies();
      const page = await context.newPage();
      await page.goto(platform.page(String(body["redirect_url"])));
      return { page, frame: page.frameLocator("iframe") };
    }

    test("has a link in the frame that opens it in a tab, by default", async () => {
      const { page, frame } = await visit("lax");
      await frame.getByRole("heading", { name: "This app needs a tab of its own" }).waitFor();
      const opened = context.waitForEvent("page");
      await frame.getByRole("link", { name: "Open the app in a new tab" }).click();
      const tab = await opened;
      await tab.getByText("the app at /?a=1").waitFor();
      expect(await useOf(tab)).toEqual(WORKS);
      // The platform's page is not touched, and its link goes on leading there.
      expect(new URL(page.url()).host).toBe(platform.host);
      const again = context.waitForEvent("page");
      await frame.getByRole("link", { name: "Open the app in a new tab" }).click();
      await (await again).getByText("the app at /?a=1").waitFor();
    }, 600_000);

    test('works in the frame with same_site = "none", and is let in there alone', async () => {
      const { page, frame } = await visit("none");
      await frame.getByText("the app at /?a=1").waitFor();
      // The app sets one cookie as any site does: whether it is kept tells what this browser does.
      expect(await keepsOrdinary(frame)).toBe(!blocked);
      expect(await useOf(inFrame(page))).toEqual(WORKS);
      await frame.getByRole("link", { name: "reload" }).click();
      await frame.getByText("the app at /?b=2").waitFor();
      await page.reload();
      await frame.getByText("the app at /?a=1").waitFor();
      expect(await useOf(inFrame(page))).toEqual(WORKS);
      const [permit] = (await context.cookies()).filter(({ name }) => name.startsWith("__Host-appproxy_permit_"));
      expect([permit?.partitionKey, permit?.sameSite, permit?.secure]).toEqual(["https://web.example", "None", true]);
      // Under another site's page, and in a tab, this browser shows no permit.
      const { origin } = new URL(inFrame(page).url());
      const other = await context.newPage();
      await other.goto(platform.page(`${origin}/`, "other.example"));
      await other
        .frameLocator("iframe")
        .getByRole("heading", { name: "Please open this app from Backend.AI" })
        .waitFor();
      await other.goto(origin);
      await other.getByRole("heading", { name: "Please open this app from Backend.AI" }).waitFor();
    }, 600_000);
  });
});

// --- internal ---

/** What an app does from its own page: a fetch that changes things, and a WebSocket. */
const WORKS = ["posted", "echoed"];

function useOf(page: Pick<Page, "evaluate" | "url">): Promise<unknown> {
  return page.evaluate(
    async (socketUrl) => {
      const posted = await fetch("/post", { method: "POST", body: "x" });
      const socket = new WebSocket(socketUrl);
      const heard = await new Promise((resolve) => {
        socket.onopen = () => socket.send("echoed");
        socket.onmessage = ({ data }) => resolve(data);
        socket.onerror = () => resolve("refused");
      });
      return [posted.ok ? await posted.text() : posted.status, heard];
    },
    `${new URL(page.url()).origin.replace("http", "ws")}/socket`,
  );
}

function inFrame(page: Page) {
  const frame = page.frames()[1];
  if (frame === undefined) throw new Error("the page has no frame");
  return frame;
}

async function keepsOrdinary(frame: FrameLocator): Promise<boolean> {
  const cookies = await frame.locator("body").evaluate(async () => (await fetch("/cookies")).text());
  return cookies.includes("ordinary=1");
}

/** A site with pages that show whatever they are told to in a frame, under every name. */
function startPlatform({ cert, key }: Certificates) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: Bun.file(cert), key: Bun.file(key) },
    fetch(request) {
      const shown = Bun.escapeHTML(new URL(request.url).searchParams.get("show") ?? "");
      const html = `<!doctype html><title>platform</title><iframe width="800" height="600" src="${shown}"></iframe>`;
      return new Response(html, { headers: { "Content-Type": "text/html" } });
    },
  });
  const host = `web.example:${server.port}`;
  return {
    host,
    page: (show: string, name = "web.example") => `https://${name}:${server.port}/?show=${encodeURIComponent(show)}`,
    stop: () => server.stop(true),
  };
}

function startApp() {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/socket" && self.upgrade(request)) return undefined;
      if (pathname === "/post") return new Response("posted");
      if (pathname === "/cookies") return new Response(request.headers.get("cookie"));
      return new Response(`<!doctype html><p>the app at ${pathname}${search}</p><a href="/?b=2">reload</a>`, {
        headers: { "Content-Type": "text/html", "Set-Cookie": "ordinary=1; SameSite=None; Secure; Path=/" },
      });
    },
    websocket: { message: (socket, message) => void socket.send(message) },
  });
  return { port: server.port ?? 0, stop: () => server.stop(true) };
}
