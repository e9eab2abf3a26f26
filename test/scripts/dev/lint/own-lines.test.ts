/** The lint rule for long functions, as oxlint runs it. */
import { expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../../support/spawned.ts";

/** What the linter says of a file's text. */
function lint(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-lint-"));
  const plugin = join(ROOT, "scripts/dev/lint/own-lines.ts");
  const config = { jsPlugins: [plugin], categories: { correctness: "off" }, rules: { "house/own-lines": "error" } };
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  writeFileSync(join(directory, "file.ts"), text);
  const command = [process.execPath, "x", "--bun", "oxlint", "-c", join(directory, "config.json"), "--format=unix"];
  const { stdout, stderr } = Bun.spawnSync([...command, directory], { cwd: ROOT });
  return stdout.toString() + stderr.toString();
}

const statements = (count: number) => "  run();\n".repeat(count);

test("a function of 81 lines is told, one of 80 is not", () => {
  expect(lint(`export function long() {\n${statements(79)}}\n`)).toContain("81 lines of its own");
  expect(lint(`export function long() {\n${statements(78)}}\n`)).not.toContain("lines of its own");
});

test("the lines of functions inside it are theirs", () => {
  const inner = `  const one = () => {\n${statements(50)}  };\n`;
  expect(lint(`export function make() {\n${inner}${inner}  return one;\n}\n`)).not.toContain("lines of its own");
});
