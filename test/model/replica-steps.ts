/** What may happen to a node's circuits and on the way between the node and its coordinator: for both models of a replica. */
import * as fc from "fast-check";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { ModelCoordinator } from "./coordinator.ts";

const IDS = ["a", "b", "c", "d"].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`);
const id = fc.constantFrom(...IDS);
const port = fc.constantFrom(1, 2, 3);
/** Of what is on its way. */
const at = fc.nat(4);

/** At the coordinator. */
export type CircuitStep =
  | { kind: "create" | "move" | "reroute"; id: string; port: number }
  | { kind: "remove"; ids: string[] }
  | { kind: "replace"; back: number }
  | { kind: "forget" };

/** On the way, and at the node. */
export type NodeStep =
  | { kind: "deliver" | "repeat" | "drop"; at: number }
  | { kind: "answer" | "answer late" | "fail"; at: number }
  | { kind: "lose" | "poll" | "beat" };

const kind = <K extends string>(...kinds: K[]) => fc.constantFrom(...kinds);

export const circuitSteps: fc.WeightedArbitrary<CircuitStep>[] = [
  { weight: 30, arbitrary: fc.record({ kind: kind("create", "move", "reroute"), id, port }) },
  {
    weight: 10,
    arbitrary: fc.record({ kind: kind("remove"), ids: fc.uniqueArray(id, { minLength: 1, maxLength: 2 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kind("forget") }) },
  { weight: 1, arbitrary: fc.record({ kind: kind("replace"), back: fc.nat(3) }) },
];

export const nodeSteps: fc.WeightedArbitrary<NodeStep>[] = [
  { weight: 30, arbitrary: fc.record({ kind: kind("deliver", "deliver", "deliver", "repeat", "drop"), at }) },
  { weight: 20, arbitrary: fc.record({ kind: kind("answer", "answer", "answer late", "fail"), at }) },
  { weight: 8, arbitrary: fc.record({ kind: kind("lose", "poll", "poll", "beat", "beat") }) },
];

/** Changes the coordinator's circuits; gives the events that tell of it. */
export function changed(model: ModelCoordinator, step: CircuitStep): AppProxyEvent[] {
  switch (step.kind) {
    case "create":
    case "move":
    case "reroute":
      return model[step.kind](step.id, step.port);
    case "remove":
      return model.remove(step.ids);
    case "replace":
      model.replace(step.back);
      return [];
    case "forget":
      model.forget();
      return [];
  }
}

/** What is compared of circuits. */
export function shown(circuits: readonly Circuit[]) {
  return circuits
    .map(({ id, port, revision, route_info }) => [id, port, revision, route_info[0]?.kernel_port])
    .toSorted();
}
