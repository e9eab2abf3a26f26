/** What opening an app does to a circuit: the table of plan.ts line by line, and every case of the facts. */
import { describe, expect, test } from "bun:test";
import { planOpen, type Facts, type Plan } from "../../../coordinator/apps/plan.ts";
import { combinations } from "../../support/combinations.ts";
import { circuitRow } from "../../support/rows.ts";
import { route } from "../../support/values.ts";

const THERE = route({ kernel_host: "10.0.0.2", kernel_port: 8888 });
const row = circuitRow({ port: 10_205 });
const change = { allowedOrigins: "https://a.example" };

/** `as`: how the circuit stands; null for none. */
const facts = (as: Partial<Facts["existing"]>, over: Partial<Facts> = {}): Facts => ({
  existing: as === null ? null : { row, leadsThere: true, canStay: true, change: null, ...as },
  route: THERE,
  again: false,
  rivals: "none",
  ...over,
});

const there = { routeInfo: [THERE] };

describe("the table", () => {
  test.each<[string, Facts, Plan]>([
    ["it can stay and leads there", facts({}), { kind: "reuse", row, takesOver: false }],
    ["the same, with other lists", facts({ change }), { kind: "change", row, change, takesOver: false }],
    [
      "another request has led it elsewhere",
      facts({ leadsThere: false }, { again: true }),
      { kind: "reuse", row, takesOver: false },
    ],
    [
      "the same, although rivals are newer",
      facts({ leadsThere: false }, { again: true, rivals: "newer" }),
      { kind: "reuse", row, takesOver: false },
    ],
    ["it can't stay and leads there", facts({ canStay: false }), { kind: "move", row, change: null, takesOver: false }],
    ["the same, with other lists", facts({ canStay: false, change }), { kind: "move", row, change, takesOver: false }],
    ["it leads elsewhere", facts({ leadsThere: false }), { kind: "change", row, change: there, takesOver: false }],
    [
      "the same, with other lists",
      facts({ leadsThere: false, change }),
      { kind: "change", row, change: { ...change, ...there }, takesOver: false },
    ],
    [
      "it leads elsewhere, and others to the kernel",
      facts({ leadsThere: false }, { rivals: "older" }),
      { kind: "change", row, change: there, takesOver: true },
    ],
    [
      "it can't stay and leads elsewhere",
      facts({ canStay: false, leadsThere: false }, { rivals: "older" }),
      { kind: "move", row, change: there, takesOver: true },
    ],
    ["there is none", facts(null), { kind: "create", takesOver: false }],
    [
      "there is none, and others lead to the kernel",
      facts(null, { rivals: "older" }),
      { kind: "create", takesOver: true },
    ],
    ["a newer one leads to the kernel", facts(null, { rivals: "newer" }), { kind: "refuse" }],
    [
      "one has taken the kernel while this request waited",
      facts(null, { again: true, rivals: "older" }),
      { kind: "refuse" },
    ],
    [
      "the same, and its circuit can't stay",
      facts({ canStay: false, leadsThere: false }, { again: true, rivals: "older" }),
      { kind: "refuse" },
    ],
  ])("%s", (_what, given, plan) => {
    expect(planOpen(given)).toEqual(plan);
  });
});

const all = combinations({
  none: [true, false],
  leadsThere: [true, false],
  canStay: [true, false],
  change: [null, change],
  again: [true, false],
  rivals: ["none", "older", "newer"] as const,
}).map(({ none, leadsThere, canStay, change, again, rivals }) =>
  facts(none ? null : { leadsThere, canStay, change }, { again, rivals }),
);

describe("in every case", () => {
  test("one that can't stay is never kept, and one that can is never moved", () => {
    for (const given of all) {
      const { kind } = planOpen(given);
      if (given.existing?.canStay === false) expect(["move", "refuse"]).toContain(kind);
      if (given.existing?.canStay === true) expect(["reuse", "change", "refuse"]).toContain(kind);
      if (given.existing === null) expect(["create", "refuse"]).toContain(kind);
    }
  });

  test("a kernel is taken over only from those that heard of it earlier, and by who had it not lost meanwhile", () => {
    for (const given of all) {
      const plan = planOpen(given);
      if (plan.kind !== "refuse" && plan.takesOver) expect([given.rivals, given.again]).toEqual(["older", false]);
    }
  });

  test("a plan leads to the token's kernel, unless another request has led it elsewhere since", () => {
    for (const given of all) {
      const plan = planOpen(given);
      const leads = given.existing?.leadsThere === true || plan.kind === "create" || plan.kind === "refuse";
      const isLed = "change" in plan && plan.change?.routeInfo?.[0] === THERE;
      if (!given.again) expect(leads || isLed).toBe(true);
    }
  });

  test("what another request has made of one that can stay is accepted: nothing of it is changed again", () => {
    for (const given of all.filter(({ again, existing }) => again && existing?.canStay === true))
      expect(planOpen(given).kind).toBe("reuse");
  });
});
