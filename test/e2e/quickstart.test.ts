/** `bun run quickstart` as a newcomer runs it: the printed link opens the demo in Chromium, and Ctrl-C leaves nothing behind. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { startApp } from "../support/app.ts";
import { closedPage, screenshot, startBrowser } from "../support/browser.ts";
import { ROOT } from "../support/spawned.ts";
import { startOutside } from "../support/outside.ts";
import { holdName } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { atEnd } from "../support/at-end.ts";

let browser: Browser;
let lock: Awaited<ReturnType<typeof holdName>>;

beforeAll(async () => {
  lock = await holdName("quickstart");
  browser = await startBrowser();
}, 16 * 60_000);
afterAll(async () => {
  await browser.close();
  lock.stop();
});

interface Quickstart {
  /** The link at the end of what it printed. */
  link: string;
  printed: () => string;
  /** Presses Ctrl-C; gives the exit code and what is left in its temporary directory. */
  interrupt(): Promise<{ code: number; left: string[] }>;
}

async function quickstart(...args: string[]): Promise<Quickstart> {
  const temporary = mkdtempSync(join(tmpdir(), "app-proxy-qs-test-"));
  atEnd(() => rmSync(temporary, { recursive: true, force: true }));
  let [printed, errors] = ["", ""];
  const child = startOutside([process.execPath, "run", "quickstart", ...args], {
    cwd: ROOT,
    env: { TMPDIR: temporary },
    // A process group of its own, so that Ctrl-C can reach all of it as a terminal's does.
    detached: true,
    read: (stream, text) => void (stream === "stdout" ? (printed += text ?? "") : (errors += text ?? "")),
  });
  atEnd(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const link = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`quickstart ended with ${child.exitCode}: ${errors}`);
      return /Open this in a browser[^\n]*\n\n\s+(http\S+)/.exec(printed)?.[1];
    },
    60_000,
    "quickstart prints its link",
  );
  return {
    link,
    printed: () => printed,
    async interrupt() {
      process.kill(-child.pid, "SIGINT");
      const code = await child.exited;
      return { code, left: existsSync(temporary) ? readdirSync(temporary) : [] };
    },
  };
}

describe("quickstart", () => {
  test("shows the demo: HTTP, events, WebSocket, upload and download all pass through the worker", async () => {
    const started = await quickstart();
    const { page, strayed, errors } = await closedPage(browser);
    atEnd(() => page.close());
    await page.goto(started.link);
    const origin = new URL(page.url()).origin;
    expect(origin).not.toBe(new URL(started.link).origin);
    await page.waitForSelector('#http-result[data-state="ok"][data-forwarded="true"]');
    await page.waitForSelector('#events-result[data-state="ok"]');
    await page.waitForSelector('#ws-result[data-state="ok"]');
    await page.click("#upload-random");
    await page.waitForSelector('#upload-result[data-state="ok"]');
    await page.click("#download-start");
    await page.waitForSelector('#download-result[data-state="ok"]');
    expect(await page.getAttribute("#http-result", "data-permit")).toBe("false");
    await screenshot(page, "demo");
    expect([strayed, errors]).toEqual([[], []]);
    // A page that stays open, with its live stream and WebSocket, must not keep the process from ending.
    expect(await started.interrupt()).toEqual({ code: 0, left: [] });
  }, 180_000);

  test("prints for each step the curl that does the same, and they work", async () => {
    const started = await quickstart();
    const commands = [...started.printed().matchAll(/^ {2}(curl .*(?:\n {4}.*)*)$/gm)].map(
      ([, command = ""]) => command,
    );

    // One of them keeps cookies in a file.
    const cwd = mkdtempSync(join(tmpdir(), "app-proxy-qs-curl-"));
    atEnd(() => rmSync(cwd, { recursive: true, force: true }));
    const said = commands.map((command) => Bun.spawnSync(["bash", "-c", command], { cwd }).stdout.toString());
    expect(said.pop()).toContain('id="http-result"');
    const answers = said.map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(answers.map((answer) => Object.keys(answer).toSorted())).toEqual([
      ["token"],
      ["circuit_id", "redirect_url", "reuse", "token"],
      ["circuits", "next"],
    ]);
    expect(answers[2]?.["circuits"]).toMatchObject([{ origin_request_id: "req-quickstart-1", app: "demo" }]);
    expect((await started.interrupt()).code).toBe(0);
  }, 180_000);

  test("steps over taken ports: two run beside each other", async () => {
    const first = await quickstart();
    const second = await quickstart();
    expect(new URL(second.link).port).not.toBe(new URL(first.link).port);
    for (const { link } of [first, second]) {
      const { page } = await closedPage(browser);
      await page.goto(link);
      await page.waitForSelector('#http-result[data-state="ok"]');
      await page.close();
    }
    expect((await first.interrupt()).code).toBe(0);
    expect((await second.interrupt()).code).toBe(0);
  }, 180_000);

  test("uses a real Redis and the reader's own app when asked", async () => {
    const [redis, app] = [await startRedis(), startApp()];
    atEnd(() => redis.stop());
    atEnd(() => app.stop());
    const started = await quickstart("--redis", redis.url, "--app", `127.0.0.1:${app.port}`);
    const { page } = await closedPage(browser);
    await page.goto(started.link);
    expect(await page.textContent("body")).toContain('"x-forwarded-proto":"http"');
    expect(started.printed()).toContain(`Redis 127.0.0.1:${redis.port}`);
    await page.close();
    expect((await started.interrupt()).code).toBe(0);
  }, 180_000);

  test.each([
    ["--app", "nowhere", "--app nowhere: wanted host:port"],
    ["--redis", "http://x", "--redis http://x: wanted redis://[:password@]host:port"],
  ])("%s %s is refused with what was wanted", (option, value, message) => {
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, "scripts/run/quickstart.ts", option, value], {
      cwd: ROOT,
      stderr: "pipe",
    });
    expect([exitCode, stderr.toString().trim()]).toEqual([1, `Cannot start: ${message}`]);
  });
});
