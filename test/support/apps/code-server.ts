/** code-server, VS Code in a browser, as a session's container runs it: without a password, in a folder with some files. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errors, type Page } from "playwright-core";
import { freePort } from "../ports.ts";
import { until } from "../until.ts";
import { serve, type RealApp, type Running } from "./real-app.ts";

export const CODE_SERVER: RealApp = {
  name: "code-server",
  // Saving, leaving and tasks wait for extensions, and it complains when that takes long; leaving may also come in between
  // what it writes into its log, which it keeps in the browser. All of them were seen without a proxy or on a busy machine.
  sometimes:
    /Long running operations during shutdown|Aborted onWillSaveTextDocument-event|Timed out getting tasks|Unable to write file 'vscode-log:.* is closed/,
  path: (home) => `/?folder=${home}/work`,
  async start(directory, home) {
    mkdirSync(join(home, "work"));
    mkdirSync(join(home, "data/User"), { recursive: true });
    writeFileSync(join(home, "data/User/settings.json"), JSON.stringify(SETTINGS));
    const server = join(directory, "node_modules/code-server");
    copyFileSync(join(server, "src/browser/media/pwa-icon-192.png"), join(home, "work/icon.png"));
    for (let round = 1; round < 10; round++) {
      writeFileSync(join(home, `work/notes-${round}.md`), `![icon](icon.png)\n\n# Notes ${round}\n`);
    }
    return startOnce(server, home, 10);
  },
  async use(page, round, home) {
    await page.locator(".explorer-folders-view .monaco-list-row").first().waitFor();
    await runCommand(page, "View: Close All Editors");
    await edit(page, round, home);
    await preview(page, round);
    await terminal(page, `terminal-${round}`, home);
  },
};

/** Writes a line at the end of a file, saves it, and finds it on the disk. */
export async function edit(page: Page, round: number, home: string): Promise<void> {
  const name = `notes-${round}.md`;
  await page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`).dblclick();
  await page.locator(`.monaco-editor[data-uri$="${name}"] .view-line`).last().click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(`written in round ${round}`);
  await page.keyboard.press("Control+S");
  const file = join(home, "work", name);
  const wanted = `written in round ${round}`;
  await until(() => readFileSync(file, "utf8").includes(wanted), 240_000, `${name} to be saved`);
}

/** Shows the file in a webview, whose picture comes through the service worker. */
export async function preview(page: Page, round: number): Promise<void> {
  await runCommand(page, "Markdown: Open Preview");
  const tab = page.locator(`.tab[aria-label^="Preview notes-${round}.md"]`);
  await tab.click();
  let seenAt = performance.now();
  const shown = async () => {
    for (const frame of page.frames()) {
      const seen = await frame.evaluate<unknown>(SEEN).catch(() => null); // it went away in between
      if (seen === `Notes ${round}: 192`) return true;
    }
    // The service worker gives the workbench thirty seconds for a picture (service-worker.js, resolveTimeout) and then 404.
    if (performance.now() > seenAt + REFRESH_MS) {
      seenAt = performance.now();
      await runCommand(page, "Markdown: Refresh Preview");
    }
    return false;
  };
  await until(shown, 240_000, `a preview of notes-${round}.md with its picture`);
}

/**
 * Types a command into a new terminal; waits for what it does and for what it says. Until the new one is shown, keys would go
 * into the one before.
 */
export async function terminal(page: Page, name: string, home: string): Promise<void> {
  await page.evaluate(MARK_OLD);
  await runCommand(page, "Terminal: Create New Terminal");
  const rows = page.locator(".terminal-wrapper.active:not([data-old]) .xterm-rows");
  await rows.filter({ hasText: /[#$]/ }).waitFor();
  await command(page, name, home);
}

/** Types a command into the terminal that is shown. */
export async function command(page: Page, name: string, home: string): Promise<void> {
  const screen = page.locator(".terminal-wrapper.active .xterm");
  await screen.click();
  await page.keyboard.type(`echo ${name} > "$HOME/${name}"; echo said-$((6*7))-${name}\n`);
  const file = join(home, name);
  await until(
    () => existsSync(file) && readFileSync(file, "utf8") === `${name}\n`,
    240_000,
    `a terminal makes ${name}`,
  );
  await screen
    .locator(".xterm-rows")
    .filter({ hasText: `said-42-${name}` })
    .waitFor();
}

// --- internal ---

/** Its two processes give each other ten seconds to come up, which is little on a busy machine: it is tried again. */
async function startOnce(server: string, home: string, tries: number): Promise<Running> {
  const port = await freePort();
  const command = [
    "node",
    join(server, "out/node/entry.js"),
    "--auth=none",
    `--bind-addr=127.0.0.1:${port}`,
    "--disable-telemetry",
    "--disable-update-check",
    "--disable-workspace-trust",
    `--config=${home}/config.yaml`,
    `--user-data-dir=${home}/data`,
    `--extensions-dir=${home}/extensions`,
  ];
  try {
    return await serve(port, command, { env: { HOME: home, SHELL: "/bin/sh", ENV: undefined }, cwd: home });
  } catch (error) {
    if (tries > 1 && String(error).includes("error timed out")) return startOnce(server, home, tries - 1);
    throw error;
  }
}

/** When a person would look again at a preview that is not whole. */
const REFRESH_MS = 60_000;

const SETTINGS = {
  "workbench.startupEditor": "none",
  // What a terminal shows is in the page as text.
  "terminal.integrated.gpuAcceleration": "off",
  // After a reload those of before would come back beside a new one, some time later, and take the keyboard from it.
  "terminal.integrated.enablePersistentSessions": false,
  // It would look after each port of the machine.
  "remote.autoForwardPorts": false,
  // Nothing that asks the internet.
  "extensions.autoCheckUpdates": false,
  "workbench.enableExperiments": false,
  "workbench.settings.enableNaturalLanguageSearch": false,
};

/** What a frame shows of a file. Runs in the page. */
const SEEN = `document.querySelector("h1")?.textContent + ": " + document.querySelector("img")?.naturalWidth`;

/** Runs in the page. */
const MARK_OLD = `document.querySelectorAll(".terminal-wrapper").forEach((one) => one.setAttribute("data-old", ""))`;

/** Which commands there are is decided when their list is opened: too early, one is not among them, and it is opened anew. */
async function runCommand(page: Page, command: string): Promise<void> {
  const input = page.locator(".quick-input-widget:visible input").first();
  const row = ".quick-input-list .monaco-list-row";
  const run = async () => {
    // A page that is still coming up, or a webview that has just got the keyboard, takes no key.
    await page.keyboard.press("F1");
    try {
      await input.waitFor({ timeout: 5000 });
      await input.fill(`>${command}`, { timeout: 5000 });
      await page
        .locator(`${row}[aria-label="${command}"], ${row}[aria-label^="${command},"]`)
        .click({ timeout: 15_000 });
      return true;
    } catch (error) {
      if (!(error instanceof errors.TimeoutError)) throw error;
      await page.keyboard.press("Escape");
      return false;
    }
  };
  await until(run, 240_000, `VS Code's command ${command}`);
}
