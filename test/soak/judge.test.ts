/** The judgement of a soak: a leak is seen, the collector's saw is none, and foreign or lost bytes are told. */
import { expect, test } from "bun:test";
import { contentFault, contentOf } from "./content.ts";
import { memoryFaults, SHORT_GROWTH, trendOf, type Sample } from "./judge.ts";

const MIB = 2 ** 20;

/** A sample a second of a worker that grows so fast, between collections a minute apart that give back 30 MiB. */
function samples(minutes: number, mibAnHour: number): Sample[] {
  return Array.from({ length: minutes * 60 }, (_, second) => ({
    at: second * 1000,
    rss: (100 + (mibAnHour * second) / 3600 + (second % 60) / 2) * MIB,
    files: 30,
  }));
}

test("the slope is that of what the collector leaves", () => {
  expect(trendOf(samples(30, 12)).slope / MIB).toBeCloseTo(12, 0);
});

test.each([[0, 0], [0.5, 0], [20, 1], [200, 1]] as const)("half an hour with %d MiB an hour has %d faults", (slope, faults) => {
  expect(memoryFaults(samples(30, slope), 30)).toHaveLength(faults);
}); // prettier-ignore

test("memory that goes up and down for no reason is no leak", () => {
  let state = 1;
  const noisy = samples(30, 0).map((one) => {
    state = (state * 48_271) % 2_147_483_647;
    return { ...one, rss: one.rss + (state % 20) * MIB };
  });
  expect(memoryFaults(noisy, 30)).toEqual([]);
});

test("a collector that comes every seven minutes makes no leak, and hides none of 200 MiB an hour", () => {
  const teeth = (slope: number) =>
    samples(30, slope).map((one) => ({ ...one, rss: one.rss + ((one.at / 1000) % 430) * 60_000 }));
  expect(memoryFaults(teeth(0), 30)).toEqual([]);
  expect(memoryFaults(teeth(200), 30)).toHaveLength(1);
});

test("a short run is held to a bound of its growth", () => {
  expect(memoryFaults(samples(3, 600), 3)).toEqual([]);
  expect(memoryFaults(samples(3, (SHORT_GROWTH / MIB) * 60), 3)).toHaveLength(1);
});

test("the warm-up counts for nothing", () => {
  const warming = samples(30, 0).map((one) => ({ ...one, rss: one.rss + Math.min(one.at, 590_000) * 100 }));
  expect(memoryFaults(warming, 30)).toEqual([]);
});

test("a foreign, a lost and a surplus byte are told", () => {
  const mine = contentOf(7, 2_000_000);
  expect(contentFault(mine, 7, 2_000_000)).toBe(null);
  expect(contentFault(mine.subarray(0, 100), 7, 101)).toBe("1 of 101 bytes of 7 are lost");
  expect(contentFault(mine.subarray(0, 101), 7, 100)).toBe("byte 100 of 100 is not that of 7");
  const foreign = Buffer.concat([mine.subarray(0, 1000), contentOf(8, 2000).subarray(1000)]);
  expect(contentFault(foreign, 7, 2000)).toMatch(/^byte 10\d\d of 2000 is not that of 7$/);
});
