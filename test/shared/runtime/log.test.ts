/** What a log line may hold, as a process of its own writes it, and how levels are called. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { createLog } from "../../../shared/runtime/log.ts";
import { ROOT } from "../../support/spawned.ts";
import { until } from "../../support/until.ts";

test.each([
  ["info", "info"],
  ["DEBUG", "debug"],
  ["WARNING", "warn"],
  ["warn", "warn"],
  ["CRITICAL", "fatal"],
  ["trace", "trace"],
])("level %s of the original is %s", (given, level) => {
  expect(createLog("test", given).level).toBe(level);
});

const SAID =
  'a\n{"level":"error"}\r\u001b[2J\u0000 %s %j \u007f\u0085\u009b\u2028\u2029 \u200e\u202e\u2066\u061c \ud83d.';

function write(said: string): string {
  return `
    import { createLog } from ${JSON.stringify(join(ROOT, "shared/runtime/log.ts"))};
    createLog("test", "info").info({ url: ${JSON.stringify(said)} }, ${JSON.stringify(said)});`;
}

test("what a request says stays in its one line, whatever it holds, and formats nothing", () => {
  const { stdout } = Bun.spawnSync([process.execPath, "-e", write(SAID)]);
  const [line = "", ...more] = stdout.toString().split("\n");
  expect(more).toEqual([""]);
  expect(line).toMatch(/^[\x20-\x7e]*$/);
  expect(JSON.parse(line)).toMatchObject({ level: "info", url: SAID, msg: SAID });
});

test("every line is redacted, whoever wrote it, and what stands where in it", () => {
  const { stdout } = Bun.spawnSync([process.execPath, "-e", write("Cannot fetch http://h/a?token=x: no")]);
  const said = "Cannot fetch http://h/a?token=…: no";
  expect(JSON.parse(stdout.toString())).toMatchObject({ url: said, msg: said });
});

test("a terminal obeys nothing of what a request says", async () => {
  let seen = "";
  const terminal = new Bun.Terminal({ cols: 400, data: (_, bytes) => void (seen += Buffer.from(bytes).toString()) });
  const env = { ...process.env, NO_COLOR: "1" };
  await Bun.spawn([process.execPath, "-e", write(`${SAID} /a?token=x`)], { terminal, env }).exited;
  await until(() => seen.includes("?token=…") && seen.trimEnd().endsWith('"'));
  terminal.close();
  expect(seen.replaceAll("\r\n", "").replaceAll("…", "")).toMatch(/^[\x20-\x7e]*$/);
  expect(seen).toContain("INFO: a\\u000a");
});
