/** ARCHITECTURE.md is the map: every file that it names exists, and every source file is named. README and routes keep their promises too. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./support/spawned.ts";

const map = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
const named = new Set(
  [...map.matchAll(/`((?:coordinator|worker|shared|scripts)\/[\w./-]+\.ts)`/g)].map(([, file]) => String(file)),
);
const sources = [...new Bun.Glob("{coordinator,worker,shared,scripts}/**/*.ts").scanSync(ROOT)];

test("every file that the map names is there", () => {
  expect([...named].filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

test("every source file is on the map", () => {
  expect(sources.filter((file) => !named.has(file))).toEqual([]);
});

test("every source file starts by saying what it is", () => {
  expect(sources.filter((file) => !readFileSync(join(ROOT, file), "utf8").startsWith("/**"))).toEqual([]);
});

test("every script that the README tells to run is there", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const told = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/bun(?:@[\d.]+)? run ([\w-]+)/g)].map(
    ([, name]) => String(name),
  );
  expect(told.filter((name) => scripts[name] === undefined)).toEqual([]);
});
