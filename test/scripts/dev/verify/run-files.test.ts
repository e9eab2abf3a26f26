/** Small real test files, run as `bun run verify` runs them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { summary, type Outcome } from "../../../../scripts/dev/verify/outcome.ts";
import { runFiles } from "../../../../scripts/dev/verify/run-files.ts";
import { until } from "../../../support/until.ts";

const FILES: Record<string, string> = {
  good: `test("one", () => {}); test("two", () => {}); test.skip("three", () => {});`,
  bad: `describe("a <b> & c", () => {
          test("says \\"why\\"", () => expect({ a: 1 }).toEqual({ a: 2 }));
          test("is good", () => {});
        });
        test("passes its limit", () => new Promise(() => {}), 50);`,
  between: `test("one", async () => { setTimeout(() => { throw new Error("thrown between") }, 1); await Bun.sleep(50); });`,
  hook: `beforeAll(() => { throw new Error("no stage") }); test("one", () => {});`,
  exits: `test("one", () => {}); test("two", () => { console.error("last words"); process.exit(0); });`,
  killed: `test("one", () => { process.kill(process.pid, "SIGKILL"); });`,
  empty: `export {};`,
  syntax: `test("one", () => {`,
  hangs: `test("one", () => new Promise(() => {}), 600_000);`,
  leaves: `test("one", () => {
             const child = Bun.spawn(["sleep", "1000"], { detached: true });
             require("fs").writeFileSync("left", String(child.pid));
           });`,
};

const root = mkdtempSync(join(tmpdir(), "app-proxy-verify-"));
beforeAll(() => {
  mkdirSync(join(root, "test"));
  const head = `import { beforeAll, describe, expect, test } from "bun:test";\n`;
  for (const [name, body] of Object.entries(FILES)) writeFileSync(join(root, `test/${name}.test.ts`), head + body);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function run(names: string[], limitMs?: number): Promise<{ outcome: Outcome; said: string[] }> {
  const said: string[] = [];
  const files = names.map((name) => `test/${name}.test.ts`);
  const how = { root, reports: join(root, "reports"), say: (line: string) => void said.push(line) };
  const outcome = await runFiles({ name: "part", files, atOnce: 2 }, limitMs === undefined ? how : { ...how, limitMs });
  return { outcome, said };
}

describe("test files", () => {
  test("are counted, and it is said what runs and how far it is", async () => {
    const { outcome, said } = await run(["good"]);
    expect(outcome).toEqual({ passed: 2, skipped: 1, failures: [] });
    expect(said[0]).toBe("part: 1 files, 2 at once");
    expect(said[1]).toMatch(/^00:\d\d {2}part 1\/1 {2}test\/good\.test\.ts: 2 passed \(\d+\.\d s\)$/);
  });

  test("that fail are told at once with names and messages, and how to repeat them; the others go on", async () => {
    const { outcome, said } = await run(["bad", "good"]);
    expect([outcome.passed, outcome.skipped]).toEqual([3, 1]);
    const again = "bun run test test/bad.test.ts -t";
    expect(outcome.failures).toEqual([
      {
        name: 'a <b> & c > says "why"',
        where: "test/bad.test.ts",
        message: expect.stringContaining("toEqual(expected)") as string,
        again: `${again} "a <b> & c says \\"why\\""`,
      },
      {
        name: "passes its limit",
        where: "test/bad.test.ts",
        message: "test timed out",
        again: `${again} "passes its limit"`,
      },
    ]);
    const text = said.join("\n");
    expect(text).toContain("part 2/2");
    expect(text).toContain("test/bad.test.ts: 1 passed, 2 FAILED");
    expect(text).toContain('   FAILED a <b> & c > says "why"\n   expect(received).toEqual(expected)');
  });

  test.each([
    ["between", "thrown between"],
    ["hook", "no stage"],
    ["exits", "last words"],
    ["killed", "The runner ended with 137"],
    ["empty", "It has no test"],
    ["syntax", "error"],
  ])("with what is no test's failure have failed: %s", async (name, words) => {
    const { outcome } = await run([name]);
    expect(outcome.failures.length).toBe(1);
    expect(outcome.failures[0]).toMatchObject({ where: `test/${name}.test.ts` });
    expect(JSON.stringify(outcome.failures)).toContain(words);
  });

  test("that do not end are ended and have failed", async () => {
    const { outcome } = await run(["hangs"], 1000);
    expect(outcome.failures).toMatchObject([{ name: "the file as a whole", where: "test/hangs.test.ts" }]);
    expect(outcome.failures[0]?.message).toStartWith("It did not end within 00:01");
  });

  test("leave no program behind", async () => {
    const { outcome } = await run(["leaves"]);
    expect(outcome).toEqual({ passed: 1, skipped: 0, failures: [] });
    const status = `/proc/${readFileSync(join(root, "left"), "utf8")}/status`;
    await until(
      async () => !(await Bun.file(status).exists()) || (await Bun.file(status).text()).includes("Z (zombie)"),
    );
  });
});

describe("the end", () => {
  const failure = {
    name: "a test",
    where: "test/a.test.ts",
    message: "one\ntwo",
    again: "bun run test test/a.test.ts",
  };

  test("has the failures, how to repeat them, and the counts alone on the last line", () => {
    expect(summary({ passed: 10, skipped: 2, failures: [failure] })).toBe(
      "1 failed:\n\n1. test/a.test.ts: a test\n   one\n   two\n   again: bun run test test/a.test.ts\n\n10 passed, 2 skipped, 1 failed\n",
    );
  });

  test("has the counts alone when nothing failed", () => {
    expect(summary({ passed: 10, skipped: 2, failures: [] })).toBe("10 passed, 2 skipped, 0 failed\n");
  });

  test("shortens long messages in the middle", () => {
    const message = Array.from({ length: 100 }, (_, at) => `line ${at}`).join("\n");
    const text = summary({ passed: 0, skipped: 0, failures: [{ ...failure, message }] });
    expect(text).toContain("   line 0\n");
    expect(text).toContain("\n   …\n");
    expect(text).toContain("   line 99\n");
    expect(text.split("\n").length).toBeLessThan(50);
  });
});
