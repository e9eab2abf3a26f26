/** A person types commands into a shell in a page that asks by long polling: Debian's shellinabox behind a circuit. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { listens, startProgram } from "../support/apps/program.ts";
import { FRONTENDS, setStage, type Stage } from "../support/apps/stage.ts";
import { screenshot } from "../support/browser.ts";
import { freePort } from "../support/ports.ts";

let stage: Stage;
let port: number;

beforeAll(async () => {
  stage = await setStage();
  port = await freePort();
  // As root it gives its own rights up, and so does the shell that people get.
  const shell = `/:${process.getuid?.() === 0 ? "nobody:nogroup:/:/bin/sh" : "LOGIN"}`;
  const program = startProgram(["shellinaboxd", "--disable-ssl", "--localhost-only", `--port=${port}`, `--service=${shell}`]); // prettier-ignore
  stage.defer(program.stop);
  await listens(program, port);
}, 120_000);

afterAll(() => stage.stop());

describe.each([...FRONTENDS])("behind a %s", (frontend) => {
  test("a command's answer appears, also after a silence, and 1,000 lines of output come to their end", async () => {
    const { page, strayed, errors } = await stage.visit(frontend, { app: "shell", port, path: "/" });
    const screen = page.locator("#console");
    await screen.getByText("$").first().waitFor();
    await page.keyboard.type("echo the answer is $((6*7))");
    await page.keyboard.press("Enter");
    await screen.getByText("the answer is 42").waitFor();
    await page.keyboard.type("sleep 2; seq 1000; echo the end-$((6*7))");
    await page.keyboard.press("Enter");
    await screen.getByText("the end-42").waitFor();
    await screen.getByText("1000", { exact: true }).waitFor();
    await screenshot(page, `shellinabox-${frontend}`);
    expect([strayed, errors]).toEqual([[], []]);
    await page.context().close();
  }, 180_000);
});
