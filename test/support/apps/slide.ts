/** Sliders, as apps of data people have them: moved with the keyboard until the page shows what the server makes of it. */
import type { Locator, Page } from "playwright-core";
import { until } from "../until.ts";

/** When a person tries again: an app that has lost its server takes no values until it has it back. Milliseconds. */
const AGAIN_MS = 5000;

/** Moves it to `value` and waits for "doubled is …" of it. */
export async function slide(page: Page, slider: Locator, value: number): Promise<void> {
  const shown = page.getByText(`doubled is ${value * 2}.`);
  const move = async () => {
    await slider.focus();
    await slider.press("Home");
    for (let step = 0; step < value; step++) await slider.press("ArrowRight");
    const came = shown.waitFor({ timeout: AGAIN_MS });
    return came.then(
      () => true,
      () => false,
    );
  };
  await until(move, 240_000, `what a slider at ${value} makes`);
}
