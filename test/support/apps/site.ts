/**
 * A coordinator and one worker under its supervisor, through which real apps are opened as the WebUI opens them, and whose
 * worker can be restarted (it is away for a moment) or replaced (it is not).
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { closedPage, startBrowser } from "../browser.ts";
import { freePort } from "../ports.ts";
import { spawnService } from "../spawned.ts";
import { reload, Site, type Supervised } from "../supervised.ts";
import { install } from "./install.ts";
import type { RealApp, Running } from "./real-app.ts";
import type { FRONTENDS } from "./stage.ts";

type Frontend = (typeof FRONTENDS)[number];

/** How long one step in the browser may take on a busy machine. Milliseconds. */
const STEP_MS = 240_000;

export interface AppSite {
  browser: Browser;
  /** A browser of a person of its own, with nothing stored. */
  page(): Promise<Page>;
  /** Starts an app with a folder of its own. */
  run(app: RealApp): Promise<{ app: Running; home: string }>;
  /** As the WebUI does: /add, what it names, and the link that comes back in a page. */
  open(page: Page, running: Running, app: RealApp, path: string): Promise<void>;
  /** SIGTERM, and a new start with the same configuration when it has ended. */
  restart(): Promise<void>;
  /** SIGHUP: a second process takes over before the first one ends. */
  replace(): Promise<void>;
  defer: (step: () => unknown) => void;
  stop(): Promise<void>;
}

export async function startAppSite(frontend: Frontend): Promise<AppSite> {
  const site = await Site.start();
  try {
    return await build(site, frontend);
  } catch (error) {
    await site.stop();
    throw error;
  }
}

// --- internal ---

async function build(site: Site, frontend: Frontend): Promise<AppSite> {
  const browser = await startBrowser();
  site.defer(() => browser.close());
  const wildcard = { domain: ".apps.localhost", bind_addr: `127.0.0.1:${await freePort()}` };
  const section = frontend === "port" ? {} : { frontend_mode: "wildcard", wildcard_domain: wildcard };
  const configured = await site.configure(`apps-${frontend}`, section);
  const start = async () => {
    const service = spawnService("worker/supervise.ts", ["--config", configured.file]);
    await service.said("circuits are known");
    return service;
  };
  const worker: { -readonly [Key in keyof Supervised]: Supervised[Key] } = { ...configured, service: await start() };
  site.defer(() => worker.service.stop());
  return {
    browser,
    async page() {
      const { page } = await closedPage(browser);
      page.context().setDefaultTimeout(STEP_MS);
      return page;
    },
    async run(app) {
      const home = join(site.directory, `${app.name}-${crypto.randomUUID().slice(0, 8)}`);
      mkdirSync(home);
      const running = await app.start(await install(app.name), home);
      site.defer(running.stop);
      return { app: running, home };
    },
    async open(page, { port }, app, path) {
      const { token, sessionId } = await site.manager.conf({ kernel_port: port });
      const query = new URLSearchParams({ app: app.name, protocol: "http", redirect: path });
      const added = await site.manager.call("GET", `/v2/proxy/${token}/${sessionId}/add?${query.toString()}`);
      const auth = new URL(String(added.body["url"]));
      const opened = await site.manager.call("GET", auth.pathname + auth.search, undefined, {
        Accept: "application/json",
      });
      await page.goto(String(opened.body["redirect_url"]));
    },
    async restart() {
      await worker.service.stop();
      worker.service = await start();
    },
    replace: () => reload(worker),
    defer: (step) => site.defer(step),
    stop: () => site.stop(),
  };
}
