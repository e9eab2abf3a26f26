/** A wait that ends: with what was waited for, or without it. */
import { expect, test } from "bun:test";
import { within } from "../../../shared/runtime/deadline.ts";

const LONG_MS = 3_600_000;

test("gives what comes in time, and its failure", async () => {
  expect(await within(LONG_MS, Promise.resolve("here"))).toBe("here");
  expect(await within(LONG_MS, Promise.reject(new Error("broken"))).catch(String)).toBe("Error: broken");
});

test("gives nothing when it is late, and does not mind that it fails then", async () => {
  const late = Promise.withResolvers<string>();
  expect(await within(1, late.promise)).toBeUndefined();
  late.reject(new Error("too late"));
  await Bun.sleep(0);
});

test("leaves no timer behind: a process that waits for nothing else ends", async () => {
  const script = `import { within } from "${import.meta.dir}/../../../shared/runtime/deadline.ts";
    await within(${LONG_MS}, Promise.resolve()); await within(${LONG_MS}, Promise.reject(1)).catch(() => undefined);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "inherit" });
  expect(await child.exited).toBe(0);
});
