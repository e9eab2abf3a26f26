/** The contract suite is whole: every line has a test, and what an engine can't do is told and tested everywhere alike. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/spawned.ts";
import { BUN_CAPABILITIES } from "../../worker/engine/bun/capabilities.ts";
import { LINES } from "./shapes.ts";

const sources = readdirSync(import.meta.dir)
  .map((name) => readFileSync(join(import.meta.dir, name), "utf8"))
  .join("\n");

test("every line of the contract has a test", () => {
  const tested = new Set([...sources.matchAll(/line(?::|\()\s*"([A-Z]\d+)"/g)].map(([, line]) => line));
  expect(LINES.filter((line) => !tested.has(line))).toEqual([]);
});

test("every deviation is of a line", () => {
  const lines = new Set<string>(LINES);
  expect(Object.values(BUN_CAPABILITIES.deviations).filter(({ line }) => !lines.has(line))).toEqual([]);
});

test("every deviation has a test that a better engine has to pass", () => {
  expect(Object.keys(BUN_CAPABILITIES.deviations).filter((name) => !sources.includes(JSON.stringify(name)))).toEqual(
    [],
  );
});

test("the deviations are those of ARCHITECTURE.md", () => {
  const architecture = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
  const section = architecture.split("## What the Bun engine can't do")[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((one) => /^\| [HWTRFA]\d/.test(one));
  expect(rows).toEqual(
    Object.entries(BUN_CAPABILITIES.deviations).map(([name, { line, reason }]) => `| ${line} | ${name} | ${reason} |`),
  );
});
