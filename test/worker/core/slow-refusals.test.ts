/** Who is refused again and again waits for it; nobody else does, and not too many at once. */
import { expect, test } from "bun:test";
import { waitingOf } from "../../../worker/compose/room.ts";
import { createSlowRefusals } from "../../../worker/core/slow-refusals.ts";

const MOST = 300;

/** A time that is set by hand: only how often is told by it. */
function slow() {
  let at = 5000;
  const refusals = createSlowRefusals(() => at, MOST);
  const waits = (key: string, count: number) => Array.from({ length: count }, () => refusals.wait(key));
  return { waits, later: (ms: number) => void (at += ms) };
}

test("the first twenty of a second are refused at once, and the others a second later", async () => {
  const { waits, later } = slow();
  const began = performance.now();
  const all = [...waits("user a", 15), ...waits("user a", 10)];
  expect(all.map((one) => one !== null)).toEqual(Array.from({ length: 25 }, (_, at) => at >= 20));
  expect(waits("user b", 1)).toEqual([null]);
  await Promise.all(all.map((one) => Promise.resolve(one)));
  expect(performance.now() - began).toBeGreaterThan(950);
  later(999);
  expect(waits("user a", 1)).not.toEqual([null]);
  later(1);
  expect(waits("user a", 20)).toEqual(Array.from({ length: 20 }, () => null));
});

test("where there are few connections none waits", () => {
  expect([638, 4095, 4096, 32_000].map(waitingOf)).toEqual([0, 0, 512, 4000]);
});

test("so many wait at most, and each that has waited leaves its place", async () => {
  const { waits } = slow();
  const many = waits("user a", 500);
  const others = waits("user b", 500);
  const late = (all: typeof many) => all.filter((one) => one !== null).length;
  // So many of one, and what is left of the others.
  expect([late(many), late(others)]).toEqual([256, MOST - 256]);
  await Promise.all([...many, ...others].map((one) => Promise.resolve(one)));
  expect(waits("user a", 10).filter((one) => one !== null).length).toBe(10);
});
