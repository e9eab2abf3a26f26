/** A person sees and uses a remote screen: Debian's noVNC behind a circuit, in headless Chromium. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { FRONTENDS, setStage, type Stage } from "../support/apps/stage.ts";
import { startDesktop, WINDOW, type Desktop } from "../support/apps/vnc.ts";
import { screenshot } from "../support/browser.ts";
import { until } from "../support/until.ts";

let stage: Stage;
let desktop: Desktop;

beforeAll(async () => {
  stage = await setStage();
  desktop = await startDesktop(stage.defer);
}, 120_000);

afterAll(() => stage.stop());

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  test("the screen is shown, and the window on it hears keys and clicks", async () => {
    const { page, strayed, errors } = await stage.visit(frontend, {
      app: "vnc",
      port: desktop.port,
      path: "/vnc.html?autoconnect=true",
    });
    await page.waitForSelector("html.noVNC_connected");
    const canvas = page.locator("#noVNC_container canvas");
    await shows(page, INSIDE, WHITE);
    await shows(page, OUTSIDE, BLACK);

    const before = desktop.events().length;
    const heard = (what: RegExp) => until(() => what.test(desktop.events().slice(before)), 30_000, String(what));
    await canvas.click({ position: INSIDE });
    await heard(/ButtonPress event[^]*?, button 1,/);
    await heard(new RegExp(`ButtonRelease event[^]*?\\(${INSIDE.x},${INSIDE.y}\\)`));
    await page.keyboard.type("Q");
    await heard(/KeyPress event[^]*?keysym 0x51, Q\)/);
    await heard(/KeyRelease event[^]*?keysym 0x51, Q\)/);
    await screenshot(page, `novnc-${frontend}`);
    expect([strayed, errors]).toEqual([[], []]);
    await page.context().close();
  }, 180_000);
});

// --- internal ---

const INSIDE = { x: WINDOW.width - 50, y: WINDOW.height - 50 };
const OUTSIDE = { x: WINDOW.width + 50, y: WINDOW.height + 50 };

/** Red, green, blue, opacity. */
const WHITE = [255, 255, 255, 255];
const BLACK = [0, 0, 0, 255];

/** Resolves when the canvas has that colour there. */
async function shows(page: Page, { x, y }: { x: number; y: number }, colour: number[]): Promise<void> {
  const pixel = `document.querySelector("#noVNC_container canvas").getContext("2d").getImageData(${x}, ${y}, 1, 1).data`;
  const right = async () => Bun.deepEquals(await page.evaluate<number[]>(`[...${pixel}]`), colour);
  await until(right, 30_000, `colour ${colour.join()} at ${x},${y}`);
}
