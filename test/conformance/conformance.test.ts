/** Autobahn's short cases, and some of compression, through a worker; `bun run conformance` has all of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { installedAt } from "../support/apps/install.ts";
import { better, Conformance, faultsOf, SIDES } from "./conformance.ts";
import { wstestIn, type Verdict, type Verdicts } from "./wstest.ts";

const CASES = [1, 2, 3, 4, 5, 6, 7, 10].map((group) => `${group}.*`).concat("12.1.1", "12.2.5", "12.3.9", "13.1.1", "13.4.3", "13.7.5"); // prettier-ignore

const directory = installedAt("wstest");
const note = directory === null ? " (skipped: `bun test/apps/main.ts --install wstest` has not been run)" : "";

describe.skipIf(directory === null).each(["sockets", "serve"] as const)(`Autobahn, %s engine${note}`, (engine) => {
  let place: Conformance;

  beforeAll(async () => void (place = await Conformance.start(wstestIn(directory ?? ""), engine)));
  afterAll(() => place.stop());

  test.each([...SIDES])("as the %s", async (side) => {
    const { direct, faults } = await place.compare(side, CASES);
    expect(direct.size).toBeGreaterThan(250);
    expect(faults).toEqual([]);
  }, 300_000); // prettier-ignore
});

describe("what is a fault", () => {
  const one = (behavior: string, behaviorClose = "OK"): Verdicts => new Map<string, Verdict>([["1.1.1", { behavior, behaviorClose }]]); // prettier-ignore

  test.each([
    ["OK", "OK", true, []],
    ["FAILED", "FAILED", true, [["1.1.1", "FAILED, directly FAILED"]]],
    ["OK", "NON-STRICT", true, [["1.1.1", "NON-STRICT, directly OK"]]],
    ["OK", "NON-STRICT", false, []],
    ["OK", "UNIMPLEMENTED", false, []],
    ["OK", "FAILED", false, [["1.1.1", "FAILED, directly OK"]]],
  ] as const)("directly %s, through a worker %s, equality wanted: %p", (direct, through, isEqual, wanted) => {
    expect(faultsOf(isEqual, one(direct), one(through))).toEqual(wanted.map(([id, what]) => [id, what]));
  });

  test("a case that was left out, and a close that was another", () => {
    expect(faultsOf(true, one("OK"), new Map())).toEqual([["1.1.1", "was not tried through the worker"]]);
    expect(faultsOf(true, one("OK"), one("OK", "UNCLEAN"))).toEqual([["1.1.1", "OK, closed UNCLEAN, directly OK"]]);
    expect(faultsOf(false, one("OK"), one("OK", "UNCLEAN"))).toHaveLength(1);
  });

  test("the best of what was seen of a case counts, and how it was closed counts most", () => {
    const order: Verdict[] = [["OK", "OK"], ["NON-STRICT", "OK"], ["FAILED", "OK"], ["OK", "UNCLEAN"]].map(([behavior = "", behaviorClose = ""]) => ({ behavior, behaviorClose })); // prettier-ignore
    expect(order.toReversed().reduce((best, one) => better(one, best))).toEqual(order[0] as Verdict);
    expect(order.map((one) => better(one, order[1]))).toEqual([order[0], order[1], order[1], order[1]] as Verdict[]);
    expect(better({ behavior: "FAILED", behaviorClose: "UNCLEAN" }, undefined).behavior).toBe("FAILED");
  });
});
