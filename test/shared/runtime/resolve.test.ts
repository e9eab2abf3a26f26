/** Names to addresses: by the system, one question for many who ask at once. */
import { expect, test } from "bun:test";
import { createResolver } from "../../../shared/runtime/resolve.ts";

test("an address is its own, at once", () => {
  const resolve = createResolver();
  expect([resolve("10.0.0.7"), resolve("fd00::7")]).toEqual([["10.0.0.7"], ["fd00::7"]]);
});

test("a name has the addresses that the system knows", async () => {
  expect(await createResolver()("localhost")).toContain("127.0.0.1");
});

test("who asks at once shares one question; a failure is asked again", async () => {
  const resolve = createResolver();
  expect(resolve("localhost")).toBe(resolve("localhost"));
  const [first, second] = [resolve("no-such-host.invalid"), resolve("no-such-host.invalid")];
  expect(first).toBe(second);
  expect(
    await Promise.resolve(first).then(
      () => "found",
      () => "unknown",
    ),
  ).toBe("unknown");
  const third = resolve("no-such-host.invalid");
  expect(third).not.toBe(first);
  await Promise.resolve(third).catch(() => undefined);
});
