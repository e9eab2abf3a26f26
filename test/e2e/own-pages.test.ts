/**
 * What browsers send from an app's own pages, where it is odd: forms of pages with `Referrer-Policy: no-referrer` (helmet's
 * default) have `Origin: null`, and web app manifests are fetched without cookies. Chromium, real coordinator and workers.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FRONTENDS, setStage, type Stage } from "../support/apps/stage.ts";
import { until } from "../support/until.ts";

let stage: Stage;
let app: ReturnType<typeof startApp>;
beforeAll(async () => {
  stage = await setStage();
  app = startApp();
  stage.defer(() => app.stop());
}, 120_000);
afterAll(() => stage.stop(), 60_000);

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  test("a form of a page with no referrer passes, and so do its WebSocket and its fetch", async () => {
    const { page, origin } = await stage.visit(frontend, { app: "helmet", port: app.port, path: "/" });
    await page.click("button");
    await page.getByText("posted null").waitFor();
    await page.goBack();
    const heard = await page.evaluate(
      async (address) => {
        const fetched = await fetch("/post", { method: "POST" });
        const socket = new WebSocket(address);
        const opened = await new Promise((resolve) => {
          socket.onopen = () => resolve(true);
          socket.onerror = () => resolve(false);
        });
        return [fetched.status, opened];
      },
      origin.replace("http", "ws"),
    );
    expect(heard).toEqual([200, true]);
    await page.context().close();
  }, 180_000);

  // Cookies are SameSite=Lax: ports of one host and names under one domain are one site, so they come along in both modes.
  test("two apps of a session call each other with cookies where that was asked for, and only there", async () => {
    const one = await stage.visit(frontend, { app: "one", port: app.port, path: "/" });
    const call = (target: string) =>
      one.page.evaluate(async (url) => {
        const wish = {
          method: "PUT",
          credentials: "include",
          headers: { "Content-Type": "application/json" },
        } as const;
        try {
          const answer = await fetch(url, { ...wish, body: "{}" });
          return [answer.status, await answer.text()];
        } catch {
          return "kept from reading";
        }
      }, `${target}/call`);
    const { page } = one;
    const two = await stage.visit(frontend, { app: "two", port: app.port, path: "/", more: { allowed_origins: one.origin }, after: one }); // prettier-ignore
    const three = await stage.visit(frontend, { app: "three", port: app.port, path: "/", after: one });
    await page.goto(one.origin);
    expect([await call(two.origin), await call(three.origin)]).toEqual([[200, "called"], "kept from reading"]);
    await page.context().close();
  }, 180_000);

  test("a manifest that is asked for without cookies makes no error, and shows nothing of the app", async () => {
    const { page, origin } = await stage.visit(frontend, { app: "gradio", port: app.port, path: "/?quiet" });
    const errors: string[] = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(`${origin}/manifest`);
    const devtools = await page.context().newCDPSession(page);
    const asked = app.manifests();
    // The browser fetches it when it looks whether the page can be installed.
    const { url, data, errors: faults } = await devtools.send("Page.getAppManifest");
    expect([url, data, faults]).toEqual([`${origin}/manifest.json`, '{"display":"browser"}', []]);
    await page.evaluate(() => console.error("the last line"));
    await until(() => errors.includes("the last line"));
    expect(errors).toEqual(["the last line"]);
    expect(app.manifests()).toBe(asked);
    // With its permit it is the app's own.
    const own = await page.evaluate(async () => (await fetch("/manifest.json")).text());
    expect(own).toBe('{"name":"secret"}');
    await page.context().close();
  }, 180_000);
});

// --- internal ---

function startApp() {
  let manifests = 0;
  const html = (body: string) => new Response(`<!doctype html><link rel="icon" href="data:,">${body}`, { headers: { "Content-Type": "text/html", "Referrer-Policy": "no-referrer" } }); // prettier-ignore
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      if (self.upgrade(request)) return undefined;
      const { pathname } = new URL(request.url);
      if (pathname === "/manifest.json") {
        manifests++;
        return Response.json({ name: "secret" });
      }
      if (pathname === "/call") return new Response("called");
      if (pathname === "/manifest") return html('<link rel="manifest" href="/manifest.json">');
      if (request.method === "POST") return html(`posted ${request.headers.get("origin")}`);
      return html('<form method="post" action="/post"><button>post</button></form>');
    },
    websocket: { message: () => undefined },
  });
  return { port: server.port ?? 0, manifests: () => manifests, stop: () => server.stop(true) };
}
