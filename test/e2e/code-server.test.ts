/**
 * VS Code (code-server) in Chromium: editor, preview and terminal work behind a port and behind a name, after a reload, and
 * without one after the worker was restarted and replaced. Its previews need a service worker.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CODE_SERVER } from "../support/apps/code-server.ts";
import { install, INSTALL_MS } from "../support/apps/install.ts";
import { startAppSite, type AppSite } from "../support/apps/site.ts";
import { FRONTENDS } from "../support/apps/stage.ts";
import { directly, throughCircuit } from "../support/apps/trip.ts";

beforeAll(async () => void (await install("code-server")), INSTALL_MS);

/** What goes wrong without a proxy, behind neither. */
let own: Promise<string[]> | null = null;

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  let site: AppSite;

  beforeAll(async () => void (site = await startAppSite(frontend)), 120_000);

  afterAll(() => site.stop(), 60_000);

  /*
   * It compares the host of `Forwarded`, as it is written there, with that of `Origin`, and does not look at
   * X-Forwarded-Host then (code-server 4.100, out/node/http.js, authenticateOrigin and getHost).
   */
  test("it accepts the Origin of WebSockets", async () => {
    const { app } = await site.run(CODE_SERVER);
    const page = await site.page();
    const said: string[] = [];
    // The browser asks for an icon too, which is not there.
    page.on("console", (message) => void (message.text().includes("WebSocket") && said.push(message.text())));
    await site.open(page, app, CODE_SERVER, "/healthz");
    expect([await page.evaluate<string>(FIRST_EVENT), said]).toEqual(["open", []]);
    await page.context().close();
    await app.stop();
  }, 300_000);

  test("a file is edited and saved, its preview shows a picture, and a terminal takes commands, all along", async () => {
    own ??= directly(site, CODE_SERVER);
    const troubles = await throughCircuit(site, CODE_SERVER, await own, `code-server-${frontend}`);
    expect(troubles).toEqual({ used: [], restarted: [], replaced: [] });
  }, 900_000);
});

// --- internal ---

/** What becomes of a WebSocket to VS Code's server, opened as the workbench opens them. Runs in the page. */
const FIRST_EVENT = `new Promise((resolve) => {
  const wish = { reconnectionToken: crypto.randomUUID(), reconnection: "false", skipWebSocketFrames: "false" };
  const socket = new WebSocket("/?" + new URLSearchParams(wish));
  for (const name of ["open", "error"]) socket.addEventListener(name, () => resolve(name));
})`;
