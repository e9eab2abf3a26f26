/** JupyterLab 4 in Chromium while the worker is restarted and replaced: what runs in a notebook and a terminal goes on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { install, INSTALL_MS } from "../support/apps/install.ts";
import { acceptAbsence, command, JUPYTERLAB, newNotebook, openTerminal } from "../support/apps/jupyterlab.ts";
import type { Running } from "../support/apps/real-app.ts";
import { startAppSite, type AppSite } from "../support/apps/site.ts";
import { FRONTENDS } from "../support/apps/stage.ts";
import { screenshot } from "../support/browser.ts";
import { until } from "../support/until.ts";

beforeAll(async () => void (await install("jupyterlab")), INSTALL_MS);

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  let site: AppSite;
  let app: Running;
  let home: string;

  beforeAll(async () => {
    site = await startAppSite(frontend);
    ({ app, home } = await site.run(JUPYTERLAB));
  }, 600_000);

  afterAll(() => site.stop(), 60_000);

  /*
   * Its client comes back to kernels and terminals after each close code but 1000 and 1001 (@jupyterlab/services 7.6,
   * kernel/default.ts and terminal/default.ts); the server keeps what the kernel says meanwhile for the same session.
   */
  test("a cell that counts and a terminal go on over a restart (SIGTERM) and a replacement (SIGHUP) of the worker", async () => {
    const page = await site.page();
    await acceptAbsence(page);
    await site.open(page, app, JUPYTERLAB, "/lab");
    await openTerminal(page);
    await command(page, home, "before");
    const cell = await newNotebook(page);
    await cell.click();
    await page.keyboard.type('import time; [print(i, end=" ", flush=True) or time.sleep(0.1) for i in range(100000)]');
    await page.keyboard.press("Shift+Enter");
    await page.evaluate("window.neverReloaded = true");
    await countsOn(page);

    const afterwards = async (name: string) => {
      await countsOn(page);
      await page.click('.lm-TabBar-tab:has-text("Terminal 1")');
      await command(page, home, name);
      await page.click('.lm-TabBar-tab:has-text("Untitled.ipynb")');
    };
    await site.restart();
    await afterwards("after-a-restart");
    await site.replace();
    await afterwards("after-a-replacement");
    await screenshot(page, `jupyterlab-${frontend}`);
    expect(await page.evaluate<boolean>("window.neverReloaded")).toBe(true);
    expect(await counted(page)).toSatisfy((numbers) => numbers.every((number, index) => number === index));
    await page.context().close();
  }, 900_000);
});

// --- internal ---

/** Waits for ten numbers more than there are. */
async function countsOn(page: Page): Promise<void> {
  const { length } = await counted(page);
  await until(async () => (await counted(page)).length > length + 10, 300_000, "the cell to count on");
}

async function counted(page: Page): Promise<number[]> {
  const text = await page.evaluate<string>("document.querySelector('.jp-OutputArea-output')?.textContent ?? ''");
  return text.split(" ").filter(Boolean).map(Number);
}
