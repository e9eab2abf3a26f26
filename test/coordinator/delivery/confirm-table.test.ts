/** When a circuit is waited for, and what the wait comes to: both tables, every case. */
import { describe, expect, test } from "bun:test";
import { afterWaiting, beforeWaiting, type Before } from "../../../coordinator/delivery/confirm-table.ts";
import { combinations } from "../../support/combinations.ts";

const all = combinations({
  state: ["new", "rerouted", "replaced", "as before"] as const,
  isOriginal: [true, false],
  isAcknowledged: [true, false],
  everServed: [true, false],
  isAwaited: [true, false],
});

const first = (over: Partial<Before>) =>
  beforeWaiting({
    state: "as before",
    isOriginal: false,
    isAcknowledged: false,
    everServed: false,
    isAwaited: false,
    ...over,
  });

describe("before the wait", () => {
  test.each<[string, Partial<Before>, ReturnType<typeof beforeWaiting>]>([
    ["acknowledged as it is", { isAcknowledged: true }, "served"],
    ["new, and its event is on its way", { state: "new" }, "wait"],
    ["changed, and its event is on its way", { state: "rerouted" }, "wait"],
    [
      "changed at the original's worker, which acknowledges no change",
      { state: "rerouted", isOriginal: true },
      "served",
    ],
    ["found at the original's worker, which has served it", { isOriginal: true, everServed: true }, "served"],
    ["found at the original's worker, which has not", { isOriginal: true }, "publish and wait"],
    ["found as it was, its event is long gone", { everServed: true }, "publish and wait"],
    ["found as it was, and somebody waits already", { isAwaited: true }, "wait"],
    ["new at the original's worker", { state: "new", isOriginal: true }, "wait"],
    ["replaced: the acknowledgement may be of what was there", { state: "replaced", isOriginal: true, isAcknowledged: true, everServed: true }, "publish and wait"], // prettier-ignore
  ])("%s", (_what, given, then) => {
    expect(first(given)).toBe(then);
  });

  test("only our workers' changes, and what nobody has acknowledged, are waited for", () => {
    for (const given of all.filter(({ state, isAcknowledged }) => isAcknowledged && state !== "replaced"))
      expect(beforeWaiting(given)).toBe("served");
    for (const given of all.filter(({ isOriginal, isAcknowledged }) => !isOriginal && !isAcknowledged))
      expect(beforeWaiting(given)).not.toBe("served");
  });
});

describe("after the wait", () => {
  const cases = combinations({
    heard: ["acknowledged", "late", "superseded", "refused"] as const,
    isThere: [true, false],
    isAcknowledged: [true, false],
  });

  test.each([
    ["acknowledged", true, true, "served"],
    ["acknowledged", true, false, "served"],
    ["acknowledged", false, true, "superseded"],
    ["late", true, true, "served"],
    ["late", true, false, "late"],
    ["late", false, false, "late"],
    ["refused", true, true, "served"],
    ["refused", true, false, "refused"],
    ["superseded", true, true, "superseded"],
  ] as const)("%s, there: %p, acknowledged by now: %p is %s", (heard, isThere, isAcknowledged, then) => {
    expect(afterWaiting(heard, { isThere, isAcknowledged })).toBe(then);
  });

  test("nobody is sent to a circuit that is gone or that no worker serves", () => {
    for (const { heard, ...now } of cases)
      if (afterWaiting(heard, now) === "served") expect(now.isThere || now.isAcknowledged).toBe(true);
  });
});
