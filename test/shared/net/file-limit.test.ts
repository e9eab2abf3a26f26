/** How many files a process may have open, and how they are shared out. */
import { expect, test } from "bun:test";
import { openSync, closeSync } from "node:fs";
import { fileLimit, openFiles, shareOut } from "../../../shared/net/file-limit.ts";

const limits = (line: string) => () =>
  `Limit                     Soft Limit           Hard Limit           Units\n${line}\n`;

test("the soft limit counts; without one, or without Linux, none is known", () => {
  expect(fileLimit(limits("Max open files            1024                 524288               files     "))).toBe(
    1024,
  );
  expect(fileLimit(limits("Max open files            unlimited            unlimited            files     "))).toBe(
    null,
  );
  expect(fileLimit(limits("Max processes             1024                 1024                 processes "))).toBe(
    null,
  );
  expect(
    fileLimit(() => {
      throw new Error("no such file");
    }),
  ).toBe(null);
});

test("this process has a limit, and files that are open are counted", () => {
  expect(fileLimit()).toBeGreaterThan(100);
  const before = openFiles() ?? 0;
  const files = Array.from({ length: 100 }, () => openSync("/dev/null", "r"));
  expect((openFiles() ?? 0) - before).toBeGreaterThan(50);
  for (const file of files) closeSync(file);
});

test.each([
  ["a service's default", 1024, 96, { limit: 1024, keptBack: 256, forConnections: 768 }],
  ["one name for all circuits", 1024, 1, { limit: 1024, keptBack: 161, forConnections: 863 }],
  [
    "more ports than files: a quarter is kept for them",
    4096,
    10_000,
    { limit: 4096, keptBack: 1184, forConnections: 2912 },
  ],
  ["few files: half of them", 200, 96, { limit: 200, keptBack: 100, forConnections: 100 }],
  ["many", 1_048_576, 96, { limit: 1_048_576, keptBack: 256, forConnections: 1_048_320 }],
  ["an unknown limit", null, 96, { limit: 10_240, keptBack: 256, forConnections: 9984 }],
] as const)("%s", (_what, limit, listeners, share) => {
  expect(shareOut(limit, listeners)).toEqual(share);
});
