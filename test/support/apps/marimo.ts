/** marimo's editor: two cells are run, and the slider that one makes runs the other whenever it is moved. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { serve, type RealApp } from "./real-app.ts";
import { slide } from "./slide.ts";

export const MARIMO: RealApp = {
  name: "marimo",
  path: () => "/",
  async start(directory, home) {
    writeFileSync(join(home, "notebook.py"), NOTEBOOK);
    const port = await freePort();
    return serve(
      port,
      [
        join(directory, "bin/python"),
        "-m",
        "marimo",
        "-y",
        "edit",
        "notebook.py",
        "--headless",
        "--no-token",
        "--host=127.0.0.1",
        `--port=${port}`,
        "--skip-update-check",
      ],
      { env: { HOME: home, XDG_CONFIG_HOME: undefined, XDG_STATE_HOME: undefined }, cwd: home },
    );
  },
  async use(page, round) {
    for (const cell of [0, 1]) {
      await page.locator(".cm-content").nth(cell).click();
      await page.keyboard.press("Control+Enter");
    }
    await page.getByText("doubled is 0.").waitFor();
    await slide(page, page.getByRole("slider").first(), round);
  },
};

// --- internal ---

const NOTEBOOK = `import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    number = mo.ui.slider(0, 20)
    number
    return mo, number


@app.cell
def _(mo, number):
    mo.md(f"doubled is {number.value * 2}.")
    return


if __name__ == "__main__":
    app.run()
`;
