/**
 * A node's copy of its circuits with its table, as a worker runs it: the machine by itself is in replica.test.ts. Whatever is
 * dropped, told twice, out of order or of another database, in the end the table is the coordinator's and is known to be.
 */
import { test } from "bun:test";
import * as fc from "fast-check";
import { createCodec } from "../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { createMemoryBus, MemoryHub } from "../../shared/bus/memory.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import type { Revision } from "../../shared/protocol/revision.ts";
import type { Frontends } from "../../worker/listeners/frontends.ts";
import { createReplica, type Replica } from "../../worker/state/replica/replica.ts";
import type { Table } from "../../worker/circuits/table.ts";
import { newTable } from "../support/values.ts";
import { AUTHORITY, ModelCoordinator } from "./coordinator.ts";
import { changed, circuitSteps, nodeSteps, shown, type CircuitStep, type NodeStep } from "./replica-steps.ts";
import { runs, same, STEPS, stepsOf, TIMEOUT_MS } from "./runs.ts";

const steps = stepsOf<CircuitStep | NodeStep>(...circuitSteps, ...nodeSteps);

/** Turns that the node gets after each step: what is under way is interrupted anywhere. */
const pauses = fc.array(fc.nat(12), { minLength: STEPS, maxLength: STEPS });

interface Asked {
  have: Revision | null;
  /** What was true when it was asked for. */
  early: WorkerCircuits;
  settle: PromiseWithResolvers<WorkerCircuits>;
}

/** A node, its coordinator, and what is on its way between them. */
class World {
  readonly model = new ModelCoordinator();
  readonly table: Table = newTable();
  readonly replica: Replica;
  readonly events: AppProxyEvent[] = [];
  readonly asked: Asked[] = [];

  constructor() {
    const bus = createMemoryBus(new MemoryHub(), createCodec("model-test-secret-0123", false), silentLog());
    this.replica = createReplica({
      authority: AUTHORITY,
      nodeId: "node",
      bus,
      table: this.table,
      frontends: trivialFrontends(),
      log: silentLog(),
      failed: () => undefined,
      sleep: () => Promise.resolve(),
      fetch: (have) => {
        const settle = Promise.withResolvers<WorkerCircuits>();
        this.asked.push({ have, early: this.model.answer(have), settle });
        return settle.promise;
      },
    });
    void this.replica.refresh().catch(() => undefined);
  }

  take(step: CircuitStep | NodeStep | { kind: "nothing" }): void {
    const { model, replica, events } = this;
    switch (step.kind) {
      case "create":
      case "move":
      case "reroute":
      case "remove":
      case "replace":
      case "forget":
        return void events.push(...changed(model, step));
      case "deliver":
      case "repeat":
      case "drop":
        return this.#event(step.kind, step.at);
      case "answer":
      case "answer late":
      case "fail":
        return this.#answer(step.kind, step.at);
      case "lose":
        return replica.lose();
      case "poll":
        return void replica.poll().catch(() => undefined);
      case "beat":
        return this.beat();
      case "nothing":
    }
  }

  /** What a heartbeat's answer leads to (worker/state/sync.ts). */
  beat(): void {
    const { revision, digest, known } = this.replica.state();
    const ours = this.model.answer(null);
    if (!known) void this.replica.refresh().catch(() => undefined);
    if (revision === null || ours.revision === undefined) return;
    if (ours.revision === revision && digest !== null && digest !== ours.digest) this.replica.distrust();
    else if (ours.revision !== revision) this.replica.lose();
  }

  /** Nothing more happens and everybody answers: two heartbeats and polls later all must be well. */
  async settle(): Promise<void> {
    for (let round = 0; round < 6; round++) {
      this.beat();
      void this.replica.poll().catch(() => undefined);
      for (let turn = 0; turn < 20; turn++) {
        for (const one of this.asked.splice(0)) one.settle.resolve(this.model.answer(one.have));
        await Bun.sleep(0).then(() => undefined);
        if (this.asked.length === 0 && this.replica.state().known) break;
      }
      const { here, there } = this.compared();
      if (here === there) return;
    }
  }

  /** What is here, and what should be. */
  compared(): { here: string; there: string } {
    const { known, revision, epoch, digest } = this.replica.state();
    const { circuits, ...wanted } = this.model.answer(null);
    const mine = this.table.all().map((entry) => entry.circuit);
    return {
      here: JSON.stringify([{ known, revision, epoch, digest }, shown(mine)]),
      there: JSON.stringify([{ known: true, ...wanted }, shown(circuits)]),
    };
  }

  check(): void {
    const { here, there } = this.compared();
    same("the node", here, there);
  }

  // --- internal ---

  #event(kind: "deliver" | "repeat" | "drop", at: number): void {
    const event = this.events[at % Math.max(1, this.events.length)];
    if (event === undefined) return;
    if (kind !== "repeat") this.events.splice(this.events.indexOf(event), 1);
    if (kind !== "drop") this.replica.receive(event);
  }

  #answer(kind: "answer" | "answer late" | "fail", at: number): void {
    const [one] = this.asked.splice(at % Math.max(1, this.asked.length), 1);
    if (one === undefined) return;
    if (kind === "fail") one.settle.reject(new Error("the coordinator is away"));
    else one.settle.resolve(kind === "answer" ? this.model.answer(one.have) : one.early);
  }
}

function trivialFrontends(): Frontends {
  const open = new Set<string>();
  return {
    open: (circuit) => Promise.resolve(open.add(circuit.id)).then(() => true),
    close: (circuit) => Promise.resolve(open.delete(circuit.id)).then(() => undefined),
    serves: (circuit) => open.has(circuit.id),
    retry: () => Promise.resolve([]),
    failed: () => [],
    refusal: () => null,
    blocked: () => [],
    listensAt: () => false,
    renew: () => undefined,
    finish: () => Promise.resolve(),
    abort: () => Promise.resolve(),
  };
}

test(
  "a node's table becomes its coordinator's, whatever is lost on the way: 2,000 runs of 50 steps",
  () =>
    fc.assert(
      fc.asyncProperty(steps, pauses, fc.boolean(), async (all, turns, delivered) => {
        const world = new World();
        for (const [at, step] of all.entries()) {
          world.take(step);
          for (let turn = 0; turn < (turns[at] ?? 0); turn++) await Promise.resolve();
        }
        // The last events may come, or never.
        if (delivered) for (const event of world.events.splice(0)) world.replica.receive(event);
        await world.settle();
        world.check();
        await world.replica.stop();
      }),
      runs(2000),
    ),
  TIMEOUT_MS,
);
