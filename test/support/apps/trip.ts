/**
 * One real app tried as a whole: used directly first, so that what it does wrong by itself is known, then through a circuit:
 * opened, used, loaded again, used, left alone while the worker is restarted and used again, and once more after the
 * worker was replaced without a gap.
 */
import type { Page } from "playwright-core";
import { screenshot } from "../browser.ts";
import type { RealApp, Running } from "./real-app.ts";
import type { AppSite } from "./site.ts";
import { watch } from "./watch.ts";

/** What went wrong in the page only because of the circuit, by step. */
export type Troubles = Record<"used" | "restarted" | "replaced", string[]>;

/** Opened, used, loaded again and used again without a proxy: what goes wrong then is the app's own. */
export async function directly(site: AppSite, real: RealApp): Promise<string[]> {
  const { app, home } = await site.run(real);
  const page = await site.page();
  const watched = watch(page);
  await page.goto(`http://127.0.0.1:${app.port}${real.path(home)}`);
  await useTwice(page, real, home);
  await page.context().close();
  await app.stop();
  return watched.take();
}

/** `own` is what `directly` gave. Takes screenshots `name`, also of the page as it was when a step failed. */
export async function throughCircuit(site: AppSite, real: RealApp, own: string[], name: string): Promise<Troubles> {
  const { app, home } = await site.run(real);
  const page = await site.page();
  try {
    const troubles = await stepByStep(site, { real, app, home, own, page, name });
    await page.context().close();
    await app.stop();
    return troubles;
  } catch (error) {
    await screenshot(page, `${name}-failed`);
    throw error;
  }
}

// --- internal ---

/**
 * In words or, as VS Code, as the event itself. Gradio's heartbeat is an answer that never ends: it is cut when the time for
 * a stop is over, in a way that can't be taken for its end.
 */
const SAID_OF_CLOSE =
  /^console: (?:.*\bWebSocket\b|%c  ERR color: #f# CloseEvent at )|^GET \/gradio_api\/heartbeat\/\S+ net::ERR_INCOMPLETE_CHUNKED|ERR_INCOMPLETE_CHUNKED_ENCODING at \/gradio_api\/heartbeat\//i;

interface Trip {
  real: RealApp;
  app: Running;
  home: string;
  own: string[];
  page: Page;
  name: string;
}

async function stepByStep(site: AppSite, { real, app, home, own, page, name }: Trip): Promise<Troubles> {
  const watched = watch(page);
  const foreign = () => watched.take().filter((what) => !own.includes(what) && real.sometimes?.test(what) !== true);
  await site.open(page, app, real, real.path(home));
  await useTwice(page, real, home);
  const used = foreign();
  await screenshot(page, name);

  await site.restart();
  if (real.staysLost) await page.reload();
  await real.use(page, 3, home);
  // What an app says of a server that is away is true; it is over when the app has been used again.
  watched.take();
  await page.reload();
  await real.use(page, 4, home);
  const restarted = foreign();

  await site.replace();
  if (real.staysLost) await page.reload();
  await real.use(page, 5, home);
  // No request fails meanwhile; that its WebSocket was closed with 1012 an app may say in the console.
  const replaced = foreign().filter((what) => !SAID_OF_CLOSE.test(what));
  await screenshot(page, `${name}-after`);
  return { used, restarted, replaced };
}

async function useTwice(page: Page, real: RealApp, home: string): Promise<void> {
  await real.use(page, 1, home);
  await page.reload();
  await real.use(page, 2, home);
}
