/** What was used lately is remembered, and no more than twice that. */
import { expect, test } from "bun:test";
import { Recent } from "../../../shared/runtime/recent.ts";

function filled(size: number, keys: readonly string[]): Recent<string> {
  const recent = new Recent<string>(size);
  for (const key of keys) recent.set(key, key.toUpperCase());
  return recent;
}

test("the last ones that were set are there, those of two generations ago are not", () => {
  const recent = filled(2, ["a", "b", "c", "d", "e"]);
  expect(["a", "b", "c", "d", "e"].map((key) => recent.get(key))).toEqual([undefined, undefined, "C", "D", "E"]);
});

test("what is asked for stays, however many come", () => {
  const recent = filled(2, ["busy"]);
  for (let at = 0; at < 100; at++) {
    recent.set(`${at}`, "x");
    expect(recent.get("busy")).toBe("BUSY");
  }
});

test("setting a key again takes no room", () => {
  const recent = filled(2, ["a", "b"]);
  for (let at = 0; at < 10; at++) recent.set("a", `${at}`);
  expect([recent.get("a"), recent.get("b")]).toEqual(["9", "B"]);
});
