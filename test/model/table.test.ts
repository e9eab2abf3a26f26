/**
 * The worker's table against a list of circuits: whatever comes in whatever order, who has a slot is who took it last, and
 * a removal touches only the circuit that it names.
 */
import { test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "../../shared/protocol/digest.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { circuit, newTable } from "../support/values.ts";
import { runs, same, stepsOf, TIMEOUT_MS } from "./runs.ts";

const IDS = ["a", "b", "c", "d", "e"].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`);
/** Few, so that they are fought for. A name is the same in any case. */
const PORTS = [1, 2, 3];
const NAMES = ["x", "X", "y"];
const SLOTS = [
  ...PORTS.map((port) => ({ port, subdomain: null })),
  ...NAMES.map((subdomain) => ({ port: null, subdomain })),
  { port: null, subdomain: null },
];

type Step = { kind: "put"; circuit: Circuit } | { kind: "remove"; id: string };
const id = fc.constantFrom(...IDS);
const put = fc
  .record({ id, slot: fc.constantFrom(...SLOTS), revision: fc.nat(3), inference: fc.boolean() })
  .map(({ slot, inference, ...rest }): Step => {
    const app_mode = inference ? ("inference" as const) : ("interactive" as const);
    return { kind: "put", circuit: circuit({ ...rest, ...slot, app_mode }) };
  });
const remove = fc.record({ kind: fc.constant("remove" as const), id });

const slotOf = ({ port, subdomain }: Pick<Circuit, "port" | "subdomain">) =>
  port === null && subdomain === null ? null : `${port} ${subdomain?.toLowerCase()}`;

/** The table as one would write it on paper. */
class Model {
  circuits: Circuit[] = [];

  put(fresh: Circuit): Circuit | null {
    const slot = slotOf(fresh);
    const holder = this.circuits.find((one) => slot !== null && slotOf(one) === slot && one.id !== fresh.id) ?? null;
    this.circuits = [...this.circuits.filter((one) => one.id !== fresh.id && one !== holder), fresh];
    return holder;
  }

  remove(id: string): Circuit | null {
    const gone = this.circuits.find((one) => one.id === id) ?? null;
    this.circuits = this.circuits.filter((one) => one.id !== id);
    return gone;
  }
}

function play(steps: readonly (Step | { kind: "nothing" })[]): void {
  const [table, model] = [newTable(), new Model()];
  for (const step of steps) {
    if (step.kind === "put") same("put gave", table.put(step.circuit), model.put(step.circuit));
    if (step.kind === "remove") same("remove gave", table.remove(step.id), model.remove(step.id));
    const at = (wanted: string) => model.circuits.find((one) => slotOf(one) === wanted);
    same("size", table.size, model.circuits.length);
    same("digest", table.digest, digestOf(model.circuits));
    for (const id of IDS)
      same(id, table.byId(id)?.circuit, model.circuits.find((one) => one.id === id)); // prettier-ignore
    for (const port of PORTS) same(`port ${port}`, table.byPort(port)?.circuit, at(slotOf({ port, subdomain: null }) ?? "")); // prettier-ignore
    for (const name of ["x", "y"])
      same(name, table.bySubdomain(name)?.circuit, at(slotOf({ port: null, subdomain: name }) ?? ""));
  }
}

test(
  "the table is what a list of circuits is: 10,000 runs of 50 steps",
  () => fc.assert(fc.property(stepsOf<Step>({ weight: 20, arbitrary: put }, remove), play), runs(10_000)),
  TIMEOUT_MS,
);
