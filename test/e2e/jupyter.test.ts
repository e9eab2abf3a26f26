/** A person works in a real notebook: Debian's jupyter-notebook behind a circuit, in headless Chromium. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Locator, Page } from "playwright-core";
import { hashOf, writeBigFile } from "../support/apps/big-file.ts";
import { startJupyter, type Jupyter } from "../support/apps/jupyter.ts";
import { FRONTENDS, setStage, type Stage, type Visit } from "../support/apps/stage.ts";
import { screenshot } from "../support/browser.ts";
import { until } from "../support/until.ts";

/** What `seq` prints with it is 10 MB in a terminal. */
const LINES = 1_300_000;

let stage: Stage;
let jupyter: Jupyter;
let home: string;

beforeAll(async () => {
  stage = await setStage();
  home = join(stage.directory, "home");
  mkdirSync(home);
  jupyter = await startJupyter(home);
  stage.defer(jupyter.stop);
}, 120_000);

afterAll(() => stage.stop());

async function openTree(frontend: (typeof FRONTENDS)[number]): Promise<Visit> {
  const visit = await stage.visit(frontend, { app: "jupyter", port: jupyter.port, path: "/tree" });
  // Its buttons are there before the scripts that listen to them.
  await visit.page.waitForFunction("window.IPython?.new_notebook_widget !== undefined", null, { polling: 100 });
  return visit;
}

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  test("a cell's answer comes over the kernel's WebSocket without a login, and a running cell is interrupted", async () => {
    const { page, origin, strayed } = await openTree(frontend);
    expect(page.url()).toBe(`${origin}/tree`);
    expect(new URL(origin).hostname).toMatch(frontend === "port" ? /^127\.0\.0\.1$/ : /^[\w-]+\.apps\.localhost$/);

    const notebook = await openFromMenu(page, "#kernel-python3 a");
    await notebook.waitForSelector(".cell .CodeMirror");
    await notebook.waitForSelector(".kernel_idle_icon", { state: "attached" });
    await notebook.click(".cell .CodeMirror");
    await notebook.keyboard.type("6*7");
    await notebook.keyboard.press("Shift+Enter");
    await notebook.waitForSelector('.output_result pre:text-is("42")');
    await notebook.keyboard.type("import time; print('goes to sleep', flush=True); time.sleep(600)");
    await notebook.keyboard.press("Shift+Enter");
    await notebook.waitForSelector('.output_stdout pre:has-text("goes to sleep")');
    await notebook.click('button[data-jupyter-action="jupyter-notebook:interrupt-kernel"]');
    await notebook.waitForSelector('.output_error pre:has-text("KeyboardInterrupt")');
    await notebook.waitForSelector(".kernel_idle_icon", { state: "attached" });
    await screenshot(notebook, `jupyter-${frontend}`);

    expect(readdirSync(home)).toContain(basename(new URL(notebook.url()).pathname));
    expect(strayed).toEqual([]);
    const id = await notebook.evaluate<string>("IPython.notebook.kernel.id");
    const kernel = await (await fetch(`http://127.0.0.1:${jupyter.port}/api/kernels/${id}`)).json();
    expect(kernel).toMatchObject({ name: "python3", connections: 1 });
    await page.context().close();
  }, 180_000);

  // The browser takes most of the time; the bytes' way is the same behind both. Of more than 25 MB it asks first.
  const megabytes = frontend === "port" ? 200 : 40;
  test(`a file of ${megabytes} MB is uploaded and downloaded with the tree's own buttons, byte by byte the same`, async () => {
    const name = `big-${frontend}.bin`;
    const [source, arrived] = [join(stage.directory, name), join(home, name)];
    writeBigFile(source, megabytes * 1024 * 1024);
    const wanted = await hashOf(source);
    const { page, strayed } = await openTree(frontend);

    await page.setInputFiles("#upload_span_input", source);
    await page.click('.modal-dialog button:text-is("Ok")');
    await page.click(".upload_button:visible");
    const row = page.locator(`.list_item:has(.item_link[href$="/files/${name}"], .item_link[href$="/edit/${name}"])`);
    // A half of it would be listed too.
    await page.waitForSelector(".new-file", { state: "detached", timeout: 120_000 });
    await row.waitFor();
    expect(await hashOf(arrived)).toBe(wanted);

    const [download] = await Promise.all([page.waitForEvent("download"), downloadRow(page, row)]);
    await screenshot(page, `jupyter-files-${frontend}`);
    expect(await hashOf(await download.path())).toBe(wanted);
    expect(strayed).toEqual([]);
    await page.context().close();
    for (const file of [source, arrived]) rmSync(file);
  }, 240_000);

  test("a terminal's 10 MB of output come over its WebSocket, nothing lost and in order", async () => {
    const { page, strayed } = await openTree(frontend);
    const terminal = await openFromMenu(page, "#new-terminal a");
    await terminal.waitForURL("**/terminals/*");
    await terminal.evaluate(CONNECT);
    await terminal.waitForFunction("typed.readyState === 1 && heard.length > 0", null, { polling: 100 });
    await terminal.evaluate(`typed.send(JSON.stringify(["stdin", "seq ${LINES}; echo the end-$((6*7))\\r"]))`);
    await terminal.waitForFunction(ENDED, null, { polling: 100, timeout: 120_000 });

    const shown = await terminal.evaluate<string>("heard.join('')");
    const output = Array.from({ length: LINES }, (_, index) => `${index + 1}\r\n`).join("");
    expect(output.length).toBeGreaterThan(10_000_000);
    const start = shown.indexOf("\n1\r\n") + 1;
    // Compared by hand: nobody wants to read the difference of 10 MB.
    expect(shown.slice(start, start + output.length) === output).toBe(true);
    expect(shown.slice(start + output.length)).toStartWith("the end-42\r\n");
    expect(strayed).toEqual([]);
    await page.context().close();
  }, 180_000);
});

// --- internal ---

/**
 * Speaks to the terminal as its page does. Runs in the page, whose own screen stays empty with Debian 12's libjs-xterm
 * 3.8.1+~cs0.9.0-1: the file holds no terminal, only "exports is not defined".
 */
const CONNECT = `
  window.heard = [];
  window.typed = new WebSocket(location.origin.replace("http", "ws") + location.pathname.replace("/terminals/", "/terminals/websocket/"));
  typed.onmessage = ({ data }) => {
    const [kind, text] = JSON.parse(data);
    if (kind === "stdout") heard.push(text);
  };`;

/** Whether the command's last line has come; it may be cut in two. Runs in the page. */
const ENDED = `heard.slice(-3).join("").includes("the end-42")`;

/** Ticks the row and presses the button; once more when the list was drawn anew in between, which takes the tick away. */
async function downloadRow(page: Page, row: Locator): Promise<void> {
  const pressed = async () => {
    await row.locator("input[type=checkbox]").check();
    const press = page.click(".download-button", { timeout: 2000 });
    return press.then(
      () => true,
      () => false,
    );
  };
  await until(pressed, 60_000, "the download is asked for");
}

/** What is behind an entry of the menu "New": it opens in a page of its own. */
async function openFromMenu(tree: Page, entry: string): Promise<Page> {
  await tree.click("#new-dropdown-button");
  const [opened] = await Promise.all([tree.waitForEvent("popup"), tree.click(entry)]);
  return opened;
}
