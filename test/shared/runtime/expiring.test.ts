/** Keys are remembered for their time, and no more of them than there may be. */
import { expect, test } from "bun:test";
import { Expiring } from "../../../shared/runtime/expiring.ts";

test("a key is there until its time is over, and from then on again when it is set anew", () => {
  let now = 1000;
  const kept = new Expiring<string>(10, () => now);
  kept.set("a", "first", 60);
  now += 59;
  expect(kept.get("a")).toBe("first");
  now += 1;
  expect(kept.get("a")).toBeUndefined();
  kept.set("a", "second", 60);
  now += 59;
  expect([kept.get("a"), kept.get("b")]).toEqual(["second", undefined]);
});

test("the oldest goes when there are too many, and setting it again makes it the youngest", () => {
  const kept = new Expiring<number>(2, () => 0);
  kept.set("a", 1, 60);
  kept.set("b", 2, 60);
  kept.set("a", 3, 60);
  kept.set("c", 4, 60);
  expect(["a", "b", "c"].map((key) => kept.get(key))).toEqual([3, undefined, 4]);
});
