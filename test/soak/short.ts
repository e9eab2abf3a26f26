/** Three minutes of mixed traffic with circuits that come and go: nothing wrong, nothing left open, nothing that grows. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Shape } from "../contract/shapes.ts";

const MINUTES = "3";
const LIMIT_MS = 12 * 60_000;

/** The test, in a process of its own as `bun run soak` is: its wires and apps are closed when it ends. */
export function soaks(engine: Shape["engine"]): void {
  test(
    `the ${engine} engine under mixed traffic`,
    async () => {
      const child = Bun.spawn(
        [process.execPath, join(import.meta.dir, "main.ts"), "--minutes", MINUTES, "--engine", engine],
        { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: LIMIT_MS },
      );
      const [out, err, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      console.log(out);
      const faults = out.split("\n").filter((line) => line.startsWith("FAULT "));
      expect({ faults, err, code }).toEqual({ faults: [], err: "", code: 0 });
    },
    LIMIT_MS,
  );
}
