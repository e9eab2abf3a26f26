/**
 * What a person sees in Chromium while there is no app: pages that load themselves again, calmly, until the app is there, and
 * keep the address with its `#fragment`.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { startStage, type Opened, type Stage } from "../contract/stage.ts";
import { startBrowser } from "../support/browser.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";

/** Of one step; a busy machine takes its time for a navigation. Milliseconds. */
const STEP_MS = 180_000;

let browser: Browser;
let stage: Stage;

beforeAll(async () => {
  browser = await startBrowser();
  stage = await startStage({ engine: "serve", frontend: "port", place: "in process" });
}, 120_000);
afterAll(async () => {
  await browser.close();
  await stage.stop();
}, 60_000);

describe("an address with a fragment", () => {
  test("of an app that starts shows its page, and then the app at the same address", async () => {
    const port = await freePort();
    const to = await stage.open({ upstream: port, app: "tensorboard" });
    const page = await visit(to, "/?run=1#/x");
    await words(page, "The app is starting", "It has been starting for");
    await using _app = listen(port);
    await page.getByText("here it is at /?run=1").waitFor();
    expect(new URL(page.url()).hash).toBe("#/x");
    await page.context().close();
  }, 600_000);
});

test("an app that has died is there again by itself, at the same address, and was told of once", async () => {
  const port = await freePort();
  const to = await stage.open({ upstream: port });
  const first = listen(port);
  const page = await visit(to, "/#/deep");
  await page.getByText("here it is at /").waitFor();
  await first.stop();
  await page.reload();
  await words(page, "The app does not answer", "loads itself again");
  await using _again = listen(port);
  await page.getByText("here it is at /").waitFor();
  const told = stage.lines.filter(({ msg, circuit }) => msg === "request refused" && circuit === to.circuit.id);
  expect([new URL(page.url()).hash, told.length]).toEqual(["#/deep", 1]);
  await page.context().close();
}, 600_000);

// --- internal ---

/** A person who was let in comes to an address. */
async function visit(to: Opened, path: string): Promise<Page> {
  const context = await browser.newContext();
  context.setDefaultTimeout(STEP_MS);
  const [name = "", value = ""] = to.cookie.split("=", 2);
  await context.addCookies([{ name, value, url: `http://127.0.0.1:${to.port}` }]);
  const page = await context.newPage();
  await page.goto(to.url(path));
  return page;
}

/** The page, or the frame that it fills, says all of this. */
async function words(page: Page, ...wanted: string[]): Promise<void> {
  await until(
    async () => {
      const text = await textOf(page);
      return wanted.every((one) => text.includes(one));
    },
    STEP_MS,
    `the page to say ${wanted.join(", ")}`,
  );
}

async function textOf(page: Page): Promise<string> {
  // A frame may be gone by the time it is asked: the page loads itself again.
  const texts = page.frames().map((frame) => frame.evaluate<string>("document.body.innerText").catch(() => ""));
  return (await Promise.all(texts)).join("\n");
}

/** An app that tells which address it was asked for. */
function listen(port: number): AsyncDisposable & { stop: () => Promise<void> } {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/favicon.ico") return new Response(null, { status: 404 });
      return new Response(`<!doctype html><p>here it is at ${pathname}${search}</p>`, {
        headers: { "Content-Type": "text/html" },
      });
    },
  });
  const stop = () => server.stop(true);
  return { stop, [Symbol.asyncDispose]: stop };
}
