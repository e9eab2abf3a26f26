/** A person works in a real notebook: Debian's jupyter-notebook behind a circuit, in headless Chromium. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { closedPage, screenshot, startBrowser } from "../support/browser.ts";
import { freePort } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnCluster, type SpawnedCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";

let redis: RedisServer;
let cluster: SpawnedCluster;
let browser: Browser;
let jupyter: Bun.Subprocess;
let port: number;
const home = mkdtempSync(join(tmpdir(), "app-proxy-jupyter-"));

beforeAll(async () => {
  port = await freePort();
  jupyter = startJupyter();
  redis = await startRedis();
  [cluster, browser] = await Promise.all([spawnCluster({ redisPort: redis.port }), startBrowser()]);
  await until(async () => (await fetch(`http://127.0.0.1:${port}/api`).catch(() => null))?.ok, 60_000);
}, 90_000);

afterAll(async () => {
  await browser.close();
  jupyter.kill("SIGTERM");
  await jupyter.exited;
  await cluster.stop();
  await redis.stop();
  rmSync(home, { recursive: true, force: true });
}, 30_000);

/** As a session's container runs it: no login of its own, the proxy lets people in. */
function startJupyter(): Bun.Subprocess {
  const options = ["--no-browser", "--ip=127.0.0.1", `--port=${port}`, "--port-retries=0", "--NotebookApp.token=", "--NotebookApp.password=", "--allow-root"]; // prettier-ignore
  return Bun.spawn(["jupyter-notebook", ...options, `--notebook-dir=${home}`], {
    env: {
      ...process.env,
      HOME: home,
      JUPYTER_RUNTIME_DIR: join(home, ".runtime"),
      IPYTHONDIR: join(home, ".ipython"),
    },
    stdout: "ignore",
    stderr: "ignore",
  });
}

test("a notebook is created without a login, and a cell's answer comes over the kernel's WebSocket", async () => {
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: port });
  const { page, strayed } = await closedPage(browser);
  const query = new URLSearchParams({
    token,
    session_id: sessionId,
    app: "jupyter",
    protocol: "http",
    redirect: "/tree",
  });
  await page.goto(`${cluster.manager.baseUrl}/v2/proxy/auth?${query.toString()}`);
  const origin = new URL(page.url()).origin;
  expect(page.url()).toBe(`${origin}/tree`);
  expect(Number(new URL(origin).port)).toBeWithin(cluster.ports[0], cluster.ports[1] + 1);

  await page.click("#new-dropdown-button");
  const [notebook] = await Promise.all([page.waitForEvent("popup"), page.click("#kernel-python3 a")]);
  await notebook.waitForSelector(".cell .CodeMirror");
  await notebook.waitForSelector(".kernel_idle_icon", { state: "attached" });
  await notebook.click(".cell .CodeMirror");
  await notebook.keyboard.type("6*7");
  await notebook.keyboard.press("Shift+Enter");
  await notebook.waitForSelector('.output_result pre:text-is("42")');
  await screenshot(notebook, "jupyter");

  expect(await notebook.textContent(".output_result pre")).toContain("42");
  expect(readdirSync(home)).toContain("Untitled.ipynb");
  expect(strayed).toEqual([]);
  const kernels = await (await fetch(`http://127.0.0.1:${port}/api/kernels`)).json();
  expect(kernels).toMatchObject([{ name: "python3", connections: 1 }]);
}, 90_000);
