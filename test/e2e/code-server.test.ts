/**
 * VS Code (code-server) in Chromium: editor, preview and terminal work behind a port and behind a name, after a reload, and
 * without one after the worker was restarted and replaced. Its WebSockets compare the host of `Forwarded` with that of
 * `Origin` as texts (code-server 4.100, node/http.ts, authenticateOrigin), its previews need a service worker.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CODE_SERVER } from "../support/apps/code-server.ts";
import { install, INSTALL_MS } from "../support/apps/install.ts";
import { startAppSite, type AppSite } from "../support/apps/site.ts";
import { FRONTENDS } from "../support/apps/stage.ts";
import { directly, throughCircuit } from "../support/apps/trip.ts";

beforeAll(async () => void (await install("code-server")), INSTALL_MS);

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  let site: AppSite;

  beforeAll(async () => void (site = await startAppSite(frontend)), 120_000);

  afterAll(() => site.stop(), 60_000);

  test("a file is edited and saved, its preview shows a picture, and a terminal takes commands, all along", async () => {
    const own = await directly(site, CODE_SERVER);
    const troubles = await throughCircuit(site, CODE_SERVER, own, `code-server-${frontend}`);
    expect(troubles).toEqual({ used: [], restarted: [], replaced: [] });
  }, 900_000);
});
