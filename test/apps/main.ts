/**
 * `bun run apps [NAME…]`: installs real apps, opens each as the WebUI does behind a port and behind a name, and uses it in
 * Chromium before and after the worker is restarted and replaced. Prints a row for each as it comes; what an app says or asks in vain only
 * because of the circuit is a failure. `--install NAME…` stops after the installation, and takes what only tests use as well.
 */
import { CODE_SERVER } from "../support/apps/code-server.ts";
import { GRADIO } from "../support/apps/gradio.ts";
import { install } from "../support/apps/install.ts";
import { JUPYTERLAB } from "../support/apps/jupyterlab.ts";
import { MARIMO } from "../support/apps/marimo.ts";
import { PANEL } from "../support/apps/panel.ts";
import { PINS, type AppName } from "../support/apps/pins.ts";
import type { RealApp } from "../support/apps/real-app.ts";
import { startAppSite } from "../support/apps/site.ts";
import { FRONTENDS } from "../support/apps/stage.ts";
import { STREAMLIT } from "../support/apps/streamlit.ts";
import { directly, throughCircuit } from "../support/apps/trip.ts";

const APPS: readonly RealApp[] = [JUPYTERLAB, CODE_SERVER, STREAMLIT, GRADIO, MARIMO, PANEL];

const [asked, onlyInstall] = [process.argv.slice(2).filter((one) => one !== "--install"), process.argv[2] === "--install"]; // prettier-ignore
const known = onlyInstall ? (Object.keys(PINS) as AppName[]) : APPS.map(({ name }) => name);
const unknown = asked.filter((name) => !known.some((one) => one === name));
if (unknown.length > 0) {
  process.stderr.write(`no such app: ${unknown.join(", ")}; there are ${known.join(", ")}\n`);
  process.exit(2);
}
const chosen = known.filter((name) => asked.length === 0 || asked.includes(name));
for (const name of chosen) {
  process.stdout.write(`installing ${name}\n`);
  await install(name);
}
if (!onlyInstall) process.exitCode = await tryAll();

// --- internal ---

async function tryAll(): Promise<number> {
  let [tried, fine] = [0, 0];
  for (const app of APPS.filter(({ name }) => chosen.includes(name))) {
    for (const frontend of FRONTENDS) {
      process.stdout.write(`trying ${app.name} behind a ${frontend}\n`);
      const began = performance.now();
      const found = await tryOne(app, frontend);
      const seconds = Math.round((performance.now() - began) / 1000);
      const verdict = found.length === 0 ? "ok    " : "failed";
      const row = `${app.name.padEnd(14)}${frontend.padEnd(10)}${verdict}${String(seconds).padStart(6)} s`;
      process.stdout.write(`${[row, ...found].join("\n    ")}\n`);
      tried += 1;
      if (found.length === 0) fine += 1;
    }
  }
  process.stdout.write(`${fine} of ${tried} ok\n`);
  return fine === tried ? 0 : 1;
}

/** What went wrong, by step. */
async function tryOne(app: RealApp, frontend: (typeof FRONTENDS)[number]): Promise<string[]> {
  const site = await startAppSite(frontend);
  try {
    const own = await directly(site, app);
    const troubles = await throughCircuit(site, app, own, `apps-${app.name}-${frontend}`);
    return Object.entries(troubles).flatMap(([step, found]) => found.map((what) => `${step}: ${what}`));
  } catch (error) {
    return [`ended early: ${error instanceof Error ? error.message.slice(0, 1500) : String(error)}`];
  } finally {
    await site.stop();
  }
}
