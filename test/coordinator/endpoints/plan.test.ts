/** What a call does to a model service's circuit: the table of plan.ts line by line, and every case of the facts. */
import { describe, expect, test } from "bun:test";
import { planEndpoint, type Facts, type Plan, type Stay } from "../../../coordinator/endpoints/plan.ts";
import { combinations } from "../../support/combinations.ts";
import { circuitRow } from "../../support/rows.ts";

const row = circuitRow({ appMode: "inference", endpointId: "0e000000-0000-4000-8000-00000000000a", port: 10_205 });
const publish = { openToPublic: true };

const facts = (over: Partial<Facts> = {}): Facts => ({
  row,
  worker: "alive",
  slot: "its own",
  everServed: true,
  again: false,
  change: null,
  isOriginal: false,
  ...over,
});

const stay = (over: Partial<Stay> = {}): Stay => ({
  kind: "stay",
  row,
  change: null,
  state: "as before",
  absent: false,
  misplaced: false,
  ...over,
});

describe("the table", () => {
  test.each<[string, Facts | null, (of: Facts) => Plan]>([
    ["there is none", null, () => ({ kind: "create" })],
    ["nothing is new", facts(), () => stay()],
    ["a change", facts({ change: publish }), () => stay({ change: publish, state: "rerouted" })],
    [
      "a change that the original's workers do not take",
      facts({ change: publish, isOriginal: true }),
      () => stay({ change: publish, state: "replaced" }),
    ],
    [
      "a change that is none to the original's workers",
      facts({ change: { openToPublic: false, runtimeVariant: "vllm" }, isOriginal: true }),
      () => stay({ change: { openToPublic: false, runtimeVariant: "vllm" }, state: "rerouted" }),
    ],
    ["another call has changed it since", facts({ change: publish, again: true }), () => stay()],
    [
      "its worker is away for a while",
      facts({ worker: "away", change: publish }),
      () => stay({ absent: true, change: publish, state: "rerouted" }),
    ],
    [
      "its worker is gone",
      facts({ worker: "gone" }),
      (of) => ({ kind: "move if possible", facts: of, otherwise: stay({ absent: true }) }),
    ],
    [
      "its slot is lost",
      facts({ slot: "lost", change: publish }),
      (of) => ({
        kind: "move if possible",
        facts: of,
        otherwise: stay({ misplaced: true, change: publish, state: "rerouted" }),
      }),
    ],
    [
      "its port is refused",
      facts({ slot: "refused" }),
      (of) => ({ kind: "move if possible", facts: of, otherwise: stay({ misplaced: true }) }),
    ],
    [
      "this call made it, and its port is refused",
      facts({ again: true, everServed: false, slot: "refused" }),
      (of) => ({ kind: "move", facts: of }),
    ],
    [
      "this call made it, and its worker has gone away",
      facts({ again: true, everServed: false, worker: "away" }),
      (of) => ({ kind: "move", facts: of }),
    ],
    [
      "this call made it, and its worker has come back with another range",
      facts({ again: true, everServed: false, slot: "lost" }),
      (of) => ({ kind: "move if possible", facts: of, otherwise: stay({ misplaced: true }) }),
    ],
  ])("%s", (_what, given, plan) => {
    expect(planEndpoint(given)).toEqual(plan(given ?? facts()));
  });
});

const all = combinations({
  worker: ["alive", "away", "gone"] as const,
  slot: ["its own", "lost", "refused"] as const,
  everServed: [true, false],
  again: [true, false],
  change: [null, publish],
  isOriginal: [true, false],
}).map(facts);

describe("in every case", () => {
  test("a URL that clients may have is never moved while its worker may come back to it", () => {
    for (const given of all.filter(
      ({ worker, slot, everServed }) => everServed && (worker === "away" || (worker === "alive" && slot === "its own")),
    ))
      // prettier-ignore
      expect(planEndpoint(given).kind).toBe("stay");
  });

  test("a call fails for want of a slot only where nobody knows the URL", () => {
    for (const given of all.filter((one) => planEndpoint(one).kind === "move"))
      expect([given.again, given.everServed]).toEqual([true, false]);
  });

  test("who stays at a living worker without its slot is told of it, and nobody waits for a worker that is away", () => {
    for (const given of all) {
      const plan = planEndpoint(given);
      const kept = plan.kind === "stay" ? plan : plan.kind === "move if possible" ? plan.otherwise : null;
      if (kept === null) continue;
      expect(kept.absent).toBe(given.worker !== "alive");
      expect(kept.misplaced).toBe(given.worker === "alive" && given.slot !== "its own");
    }
  });
});
