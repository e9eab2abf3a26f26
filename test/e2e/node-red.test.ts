/** A person builds a flow: Node-RED's editor behind a circuit, in headless Chromium; skipped where npm can't give it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startNodeRed, whyNoNodeRed, type NodeRed } from "../support/apps/node-red.ts";
import { FRONTENDS, setStage, type Stage } from "../support/apps/stage.ts";
import { screenshot } from "../support/browser.ts";

const missing = await whyNoNodeRed();
if (missing !== null) process.stdout.write(`Node-RED is not tried: ${missing}\n`);

describe.skipIf(missing !== null)("Node-RED", () => {
  let stage: Stage;
  let red: NodeRed;

  beforeAll(async () => {
    stage = await setStage();
    red = await startNodeRed(join(stage.directory, "node-red"));
    stage.defer(red.stop);
  }, 180_000);

  afterAll(() => stage.stop(), 60_000);

  describe.each([...FRONTENDS])("behind a %s", (frontend) => {
    test("a flow is imported, deployed and called, and its debug node speaks over the editor's WebSocket", async () => {
      const { page, strayed, errors } = await stage.visit(frontend, { app: "node-red", port: red.port, path: "/" });
      // Asked for before the editor connects, hence the reload.
      const connects = page.waitForEvent("websocket", (socket) => socket.url().endsWith("/comms"));
      const [comms] = await Promise.all([connects, page.reload()]);
      await page.waitForSelector("#red-ui-header-button-deploy.disabled");
      await page.waitForSelector("#red-ui-loading-progress", { state: "hidden" });

      await page.click("#red-ui-workspace-chart");
      await page.keyboard.press("Control+i");
      await page.fill("#red-ui-clipboard-dialog-import-text", JSON.stringify(flow(frontend)));
      // The dialog looks at what was typed when a key is let go.
      await page.press("#red-ui-clipboard-dialog-import-text", "End");
      await page.click("#red-ui-clipboard-dialog-ok");
      await page.click("#red-ui-header-button-deploy:not(.disabled)");
      await page.getByText("Successfully deployed").waitFor();
      await page.waitForSelector("#red-ui-header-shade", { state: "hidden" });

      const [answer] = await Promise.all([
        page.evaluate<string>(`fetch("/hello-${frontend}?from=${frontend}").then((it) => it.text())`),
        comms.waitForEvent("framereceived", ({ payload }) => payload.includes(`"msg":"${frontend}"`)),
      ]);
      expect(answer).toBe(`hello from ${frontend}`);
      await page.evaluate(`RED.workspaces.show("${frontend}")`);
      await screenshot(page, `node-red-${frontend}`);
      expect(comms.isClosed()).toBe(false);
      expect([strayed, errors]).toEqual([[], []]);
      await page.context().close();
    }, 180_000);
  });
});

// --- internal ---

/** A sheet of its own: GET /hello-… → template → answer, and the query to the debug window. */
function flow(name: string): Record<string, unknown>[] {
  const at = { z: name, y: 80 };
  return [
    { id: name, type: "tab", label: name },
    { ...at, id: `${name}-in`, type: "http in", x: 120, url: `/hello-${name}`, method: "get", wires: [[`${name}-text`, `${name}-debug`]] }, // prettier-ignore
    { ...at, id: `${name}-text`, type: "template", x: 320, field: "payload", syntax: "mustache", template: "hello from {{payload.from}}", wires: [[`${name}-out`]] }, // prettier-ignore
    { ...at, id: `${name}-out`, type: "http response", x: 520, wires: [] },
    { ...at, id: `${name}-debug`, type: "debug", x: 320, y: 160, active: true, tosidebar: true, complete: "payload.from", targetType: "msg", wires: [] }, // prettier-ignore
  ];
}
