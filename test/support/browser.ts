/** Headless Chromium from Debian. Screenshots go to test/artefacts/, which git ignores. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { ROOT } from "./spawned.ts";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** How long one step in the browser may take on a busy machine. Milliseconds. */
const STEP_MS = 60_000;

/** Names under this domain lead to loopback, and unlike `localhost` browsers do not trust them over plain HTTP. */
const NAMES = ".example";

/** `more`: further arguments of Chromium. Its contexts block third-party cookies. */
export function startBrowser(more: readonly string[] = []): Promise<Browser> {
  return chromium.launch(options(more));
}

/** A browser with a profile that keeps third-party cookies, as long as it is open. */
export async function startProfile(more: readonly string[] = []): Promise<BrowserContext> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-profile-"));
  mkdirSync(join(directory, "Default"));
  // The setting "Allow third-party cookies"; Debian's Chromium 156 blocks them without it.
  const preferences = { profile: { cookie_controls_mode: 0 } };
  writeFileSync(join(directory, "Default/Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(directory, options(more));
  context.on("close", () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return context;
}

/** A new page; what it and the pages that it opens ask of hosts outside loopback fails, and is noted. */
export async function closedPage(browser: Browser): Promise<{ page: Page; strayed: string[]; errors: string[] }> {
  const page = await browser.newPage();
  page.context().setDefaultTimeout(STEP_MS);
  const strayed: string[] = [];
  const errors: string[] = [];
  page.context().on("request", (request) => {
    if (leavesLoopback(new URL(request.url()))) strayed.push(request.url());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  return { page, strayed, errors };
}

export async function screenshot(page: Page, name: string): Promise<void> {
  const directory = join(ROOT, "test/artefacts");
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
}

// --- internal ---

function options(more: readonly string[]) {
  return {
    executablePath: join(import.meta.dir, "chromium.sh"),
    env: { ...process.env, CHROMIUM },
    // The browser's own background traffic would wait for hosts that a closed network does not have.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // Asking for sound would leave a directory of PulseAudio's behind.
      "--disable-audio-output",
      ...more,
      // Only loopback can be reached. Cheaper than a look at every request, which doubles the time of big uploads.
      `--host-resolver-rules=MAP *${NAMES} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE [::1], EXCLUDE localhost, EXCLUDE *.localhost`,
    ],
  };
}

function leavesLoopback({ protocol, hostname }: URL): boolean {
  if (!["http:", "https:", "ws:", "wss:"].includes(protocol)) return false; // data:, blob:
  return !["127.0.0.1", "[::1]", "localhost"].includes(hostname) && !/\.(localhost|example)$/.test(hostname);
}
