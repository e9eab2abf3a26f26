/** JupyterLab 4 as a session's container runs it: no login of its own, the proxy lets people in. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Locator, Page } from "playwright-core";
import { freePort } from "../ports.ts";
import { until } from "../until.ts";
import { serve, type RealApp } from "./real-app.ts";

export const JUPYTERLAB: RealApp = {
  name: "jupyterlab",
  path: () => "/lab",
  async start(directory, home) {
    // What a terminal shows is drawn on a canvas; with this it is in the page as text besides.
    setting(home, "terminal-extension/plugin", { screenReaderMode: true });
    setting(home, "apputils-extension/notification", { fetchNews: "false", checkForUpdates: false });
    mkdirSync(join(home, "work"));
    const port = await freePort();
    return serve(
      port,
      [
        join(directory, "bin/python"),
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        `--port=${port}`,
        "--port-retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.allow_remote_access=True",
        `--ServerApp.root_dir=${home}/work`,
        `--LabApp.user_settings_dir=${home}/settings`,
        "--LabApp.expose_app_in_browser=True",
      ],
      { env: { HOME: home, SHELL: "/bin/sh", ENV: undefined } },
    );
  },
  async use(page, round, home) {
    const cell = await newNotebook(page);
    await cell.click();
    await page.keyboard.type(`print("round", ${round} * 111)`);
    await page.keyboard.press("Shift+Enter");
    await page
      .locator(`.jp-OutputArea-output:has-text("round ${round * 111}")`)
      .last()
      .waitFor();
    await openTerminal(page);
    await command(page, home, `terminal-${round}`);
  },
};

/** Closes what it says of a server that is away, whenever it comes. */
export async function acceptAbsence(page: Page): Promise<void> {
  const dialog = page.locator('.jp-Dialog:has-text("Server Connection Error")');
  await page.addLocatorHandler(dialog, () => dialog.locator('button:has-text("Close")').click());
}

/** The first cell of a new notebook whose kernel runs. */
export async function newNotebook(page: Page): Promise<Locator> {
  // A cell that is run before the kernel is known is not run at all.
  await execute(page, "notebook:create-new", { kernelName: "python3" }, "({ sessionContext }) => sessionContext.ready");
  const panel = page.locator(`.jp-NotebookPanel${SHOWN}`);
  await panel.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor();
  return panel.locator(".jp-CodeCell .cm-content").first();
}

export async function openTerminal(page: Page): Promise<void> {
  await execute(page, "terminal:create-new", {});
  await page.locator(`${SCREEN} :text-matches("[#$] *$")`).first().waitFor();
}

/** Types a command into the terminal that is shown; waits for what it does and for what it says. */
export async function command(page: Page, home: string, name: string): Promise<void> {
  await page.locator(`.jp-Terminal${SHOWN} .xterm`).click();
  await page.keyboard.type(`echo ${name} > "$HOME/${name}"; echo said-$((6*7))-${name}\n`);
  const file = join(home, name);
  await until(
    () => existsSync(file) && readFileSync(file, "utf8") === `${name}\n`,
    240_000,
    `a terminal makes ${name}`,
  );
  await page.locator(`${SCREEN} :text("said-42-${name}")`).first().waitFor();
}

// --- internal ---

const SHOWN = ":visible";
const SCREEN = `.jp-Terminal${SHOWN} .xterm-accessibility-tree`;

/** What a card of the launcher or an entry of the menu does when it is pressed; `then` waits for what it has made. */
async function execute(page: Page, command: string, args: Record<string, unknown>, then = "() => {}"): Promise<void> {
  await page.waitForFunction("window.jupyterapp !== undefined", null, { polling: 100 });
  const pressed = `jupyterapp.commands.execute(${JSON.stringify(command)}, ${JSON.stringify(args)})`;
  await page.evaluate(`jupyterapp.restored.then(() => ${pressed}).then(${then}).then(() => {})`);
}

function setting(home: string, name: string, values: Record<string, unknown>): void {
  const file = join(home, "settings/@jupyterlab", `${name}.jupyterlab-settings`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(values));
}
