/** `bun run docs --check`: a document whose generated part is stale is named, and fails; without it, it is written anew. */
import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../support/spawned.ts";

const PARTS = ["coordinator", "drizzle", "scripts", "shared", "worker", "test/fixtures", "package.json", "tsconfig.json", "README.md", "ARCHITECTURE.md"]; // prettier-ignore

/** The project's files, to be spoilt. */
const copy = mkdtempSync(join(tmpdir(), "app-proxy-docs-"));
afterAll(() => rmSync(copy, { recursive: true, force: true }));
for (const part of PARTS) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));

function docs(...options: string[]): [code: number, said: string] {
  const { exitCode, stdout } = Bun.spawnSync([process.execPath, join(copy, "scripts/dev/docs.ts"), ...options], {
    stdout: "pipe",
  });
  return [exitCode, stdout.toString()];
}

test.each([
  ["README.md", "| `proxy_worker.authority` |"],
  ["ARCHITECTURE.md", "| H1 | a GET with a body loses it |"],
])(
  "%s with a row that is not generated so",
  (name, row) => {
    const file = join(copy, name);
    const whole = readFileSync(file, "utf8");
    expect(whole).toContain(row);
    expect(docs("--check")).toEqual([0, ""]);
    writeFileSync(file, whole.replace(row, row.toUpperCase()));
    expect(docs("--check")).toEqual([1, `${name} is out of date: run \`bun run docs\`\n`]);
    expect(docs()).toEqual([0, ""]);
    expect(readFileSync(file, "utf8")).toBe(whole);
  },
  60_000,
);
