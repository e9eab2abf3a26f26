/**
 * What people see in Chromium where there is no app, or a link leads nowhere any more: in English and Korean, in a tab and in a
 * frame of another site, with the way back to the platform.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { startApp, type App } from "../support/app.ts";
import { startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";

const STEP_MS = 120_000;

let browser: Browser;
let app: App;
let site: Cluster;
let platform: ReturnType<typeof startPlatform>;
beforeAll(async () => {
  browser = await startBrowser();
  app = startApp();
  platform = startPlatform();
  site = await startCluster({
    coordinator: { home_url: platform.home },
    worker: {
      frontend_mode: "wildcard",
      wildcard_domain: { domain: ".apps.localhost", bind_addr: "127.0.0.1:0" },
    },
  });
}, 120_000);
afterAll(async () => {
  await browser.close();
  await site.stop();
  await platform.stop();
  await app.stop();
}, 60_000);

const LANGUAGES = [
  { locale: "en-US", ended: "There is no app here any more", used: "This link was used already", expired: "This link has expired", open: "Open the app again", entry: "Please open this app from Backend.AI" },
  { locale: "ko-KR", ended: "이 주소에는 더 이상 앱이 없습니다", used: "이미 사용한 링크입니다", expired: "링크가 만료되었습니다", open: "앱 다시 열기", entry: "Backend.AI에서 앱을 열어 주세요" },
]; // prettier-ignore

describe.each(LANGUAGES)("in $locale", ({ locale, ended, used, expired, open, entry }) => {
  /** A person with a browser of this language. */
  async function person(): Promise<Page> {
    const context = await browser.newContext({ locale });
    context.setDefaultTimeout(STEP_MS);
    return context.newPage();
  }

  test("an ended app's name is 404 with a page that leads back", async () => {
    const page = await person();
    const { origin, circuitId } = await site.manager.enter({ kernel_port: app.port });
    await site.manager.api("DELETE", `/api/circuit/${circuitId}`);
    const answer = await page.goto(origin);
    expect([answer?.status(), await page.locator("main h1").innerText()]).toEqual([404, ended]);
    expect(await page.locator("html").getAttribute("lang")).toBe(locale.slice(0, 2));
    await leadsHome(page);
    await page.context().close();
  }, 600_000);

  test("a link that another has used, and one that has expired, lead back", async () => {
    const page = await person();
    const { redirectUrl } = await site.manager.enter({ kernel_port: app.port });
    // What lets in is for once: the ticket's second use, from a browser that was not let in.
    const opened = await fetch(redirectUrl, { redirect: "manual" });
    const ticket = opened.headers.get("location") ?? "";
    expect((await fetch(ticket, { redirect: "manual" })).status).toBe(303);
    const second = await page.goto(ticket);
    expect([second?.status(), await page.locator("main h1").innerText()]).toEqual([401, used]);
    await leadsHome(page);
    const third = await page.goto(`${site.workerApi}/setup?token=${crypto.randomUUID()}`);
    expect([third?.status(), await page.locator("main h1").innerText()]).toEqual([401, expired]);
    await leadsHome(page);
    await page.context().close();
  }, 600_000);

  test("a page in another site's frame leads back in a tab of its own", async () => {
    const page = await person();
    const { origin } = await site.manager.enter({ kernel_port: app.port });
    await page.goto(platform.framing(origin));
    const frame = page.frameLocator("iframe");
    await frame.getByRole("heading", { name: entry }).waitFor();
    const tab = page.context().waitForEvent("page");
    await frame.getByRole("link", { name: open }).click();
    await (await tab).getByText("the platform's home").waitFor();
    expect(page.url()).toBe(platform.framing(origin));
    await page.context().close();
  }, 600_000);

  async function leadsHome(page: Page): Promise<void> {
    await page.getByRole("link", { name: open }).click();
    await page.getByText("the platform's home").waitFor();
    expect(page.url()).toBe(platform.home);
  }
});

// --- internal ---

/** Another site than the apps': a home, and a page that shows any address in a frame. */
function startPlatform() {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const shown = new URL(request.url).searchParams.get("show");
      const html = shown === null ? "<p>the platform's home</p>" : `<iframe src="${Bun.escapeHTML(shown)}"></iframe>`;
      return new Response(`<!doctype html>${html}`, { headers: { "Content-Type": "text/html" } });
    },
  });
  const home = `http://127.0.0.1:${server.port}/`;
  return {
    home,
    framing: (show: string) => `${home}?show=${encodeURIComponent(show)}`,
    stop: () => server.stop(true),
  };
}
