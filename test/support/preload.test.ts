/** Real test files in a runner of their own, with the project's preload: how long a test may take. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./spawned.ts";

test("a test without a limit of its own has a minute, in every file of a run", async () => {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-limits-"));
  try {
    // Longer than Bun's five seconds, in the second file: what a preload sets itself is forgotten there.
    const file = (ms: number) => `import { test } from "bun:test"; test("waits", () => Bun.sleep(${ms}));`;
    writeFileSync(join(directory, "a.test.ts"), file(1));
    writeFileSync(join(directory, "b.test.ts"), file(5500));
    const preload = join(ROOT, "test/support/preload.ts");
    const runner = Bun.spawn([process.execPath, "test", "--preload", preload, "./a.test.ts", "./b.test.ts"], {
      cwd: directory,
      stderr: "pipe",
    });
    const said = await new Response(runner.stderr).text();
    expect(said).toContain("2 pass");
    expect(await Bun.file(join(ROOT, "bunfig.toml")).text()).toContain('preload = ["./test/support/preload.ts"]');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
