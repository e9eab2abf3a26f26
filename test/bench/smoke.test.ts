/**
 * Every part of the benchmarks works: a run of seconds, each in a process of its own, because a part binds its process to
 * some cores. What they measure then means nothing, so they print no figure.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { missingPrograms } from "./cores.ts";
import { PARTS } from "./parts.ts";

/** Programs start, and on a busy machine slowly; a part that hangs gives up after a minute by itself. */
const LIMIT_MS = 180_000;

for (const [name, { needs }] of Object.entries(PARTS)) {
  const missing = missingPrograms(needs);
  test.skipIf(missing !== null)(
    `the benchmark "${name}" works${missing === null ? "" : ` (skipped: ${missing})`}`,
    async () => {
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), "--smoke", name], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      const lines = out.trimEnd().split("\n");
      expect({ said: lines.filter((line) => !/^without (haproxy|nginx|chp|caddy): /.test(line)), err, code }).toEqual({
        said: [`${name}: works`],
        err: "",
        code: 0,
      });
    },
    LIMIT_MS,
  );
}
