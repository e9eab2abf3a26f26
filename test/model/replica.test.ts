/**
 * The machine of a node's copy of its circuits: whatever is dropped, told twice, out of order or of another database, whenever
 * answers come or fail and changes are done or break, a table that counts as known is what the coordinator had at that
 * revision, and in the end it is what the coordinator has.
 */
import { test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "../../shared/protocol/digest.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import type { Revision } from "../../shared/protocol/revision.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import {
  INITIAL,
  pollBasis,
  type Change,
  type Effect,
  type Input,
  type State,
} from "../../worker/state/replica/state.ts";
import { step } from "../../worker/state/replica/step.ts";
import { ModelCoordinator } from "./coordinator.ts";
import { changed, circuitSteps, nodeSteps, shown, type CircuitStep, type NodeStep } from "./replica-steps.ts";
import { runs, same, stepsOf, TIMEOUT_MS } from "./runs.ts";

/** What the runner does, when the test says so. */
type RunnerStep = { kind: "wake" | "done" | "break" };
const runnerSteps: fc.WeightedArbitrary<RunnerStep>[] = [
  { weight: 20, arbitrary: fc.record({ kind: fc.constant("wake" as const) }) },
  { weight: 40, arbitrary: fc.record({ kind: fc.constant("done" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("break" as const) }) },
];
const steps = stepsOf<CircuitStep | NodeStep | RunnerStep>(...circuitSteps, ...nodeSteps, ...runnerSteps);

interface Asked {
  have: Revision | null;
  /** A poll, not a fetch. */
  isPoll: boolean;
  /** What was true when it was asked for. */
  early: WorkerCircuits;
}

/** The machine, its coordinator, and what is on its way between them. */
class World {
  readonly model = new ModelCoordinator();
  readonly table = new Map<string, Circuit>();
  readonly events: AppProxyEvent[] = [];
  readonly asked: Asked[] = [];
  state: State = INITIAL;
  /** The change that is under way. */
  change: Change | null = null;
  waits = 0;
  #time = 0;
  /** What the coordinator had, by database and revision. */
  readonly #had = new Map<string, string>();

  constructor() {
    this.#note();
    this.send({ kind: "refresh" });
  }

  send(input: Input): void {
    const { state, effects } = step(this.state, input);
    this.state = state;
    for (const effect of effects) this.#carryOut(effect);
    this.#holds();
  }

  take(one: CircuitStep | NodeStep | RunnerStep | { kind: "nothing" }): void {
    switch (one.kind) {
      case "create":
      case "move":
      case "reroute":
      case "remove":
      case "replace":
      case "forget":
        this.events.push(...changed(this.model, one));
        return this.#note();
      case "deliver":
      case "repeat":
      case "drop":
        return this.#event(one.kind, one.at);
      case "answer":
      case "answer late":
      case "fail":
        return this.#answer(one.kind, one.at);
      case "lose":
        return this.send({ kind: "lose" });
      case "poll":
        return this.poll();
      case "beat":
        return this.beat();
      case "wake":
        return this.wake();
      case "done":
      case "break":
        return this.finish(one.kind === "done");
      case "nothing":
    }
  }

  /** What a heartbeat's answer leads to (worker/state/sync.ts). */
  beat(): void {
    const { phase, revision, comparable } = this.state;
    const ours = this.model.answer(null);
    if (phase.kind !== "synced") this.send({ kind: "refresh" });
    if (revision === null || ours.revision === undefined) return;
    // While a change is under way its revision is there already, and its circuits are not yet.
    const differs = this.change === null && comparable && digestOf(this.table.values()) !== ours.digest;
    if (ours.revision === revision && differs) this.send({ kind: "distrust" });
    else if (ours.revision !== revision) this.send({ kind: "lose" });
  }

  poll(): void {
    const have = pollBasis(this.state);
    if (have !== null) this.asked.push({ have, isPoll: true, early: this.model.answer(have) });
  }

  wake(): void {
    if (this.waits === 0) return;
    this.waits--;
    this.send({ kind: "waited" });
  }

  /** The change that is under way is done, or has done nothing. */
  finish(isDone: boolean): void {
    const { change } = this;
    if (change === null) return;
    this.change = null;
    if (!isDone) return this.send({ kind: "broken", error: new Error("a port can't be closed") });
    const isStrange = this.#apply(change);
    const outcome = { digest: digestOf(this.table.values()), circuits: this.table.size, isStrange, at: ++this.#time };
    this.send({ kind: "changed", outcome });
  }

  /**
   * Nothing more happens, everybody answers and all is done: what is said to have been missed is made up for without any
   * help, and what nobody has said by some heartbeats and polls.
   */
  settle(isSaid: boolean): void {
    if (isSaid) {
      this.send({ kind: "lose" });
      // What is on its way was true before that.
      for (const one of this.asked.splice(0, 1)) this.#tell(one, one.early);
      return this.#rest();
    }
    for (let round = 0; round < 6; round++) {
      this.beat();
      this.poll();
      this.#rest();
      const { here, there } = this.compared();
      if (here === there) return;
    }
  }

  /** What is here, and what should be. */
  compared(): { here: string; there: string } {
    const { phase, revision, epoch, comparable } = this.state;
    const { circuits, ...wanted } = this.model.answer(null);
    const digest = comparable ? digestOf(this.table.values()) : null;
    const mine = { known: phase.kind === "synced", revision, epoch, digest };
    return {
      here: JSON.stringify([mine, shown([...this.table.values()])]),
      there: JSON.stringify([{ known: true, ...wanted }, shown(circuits)]),
    };
  }

  check(): void {
    const { here, there } = this.compared();
    same("the node", here, there);
    same("left to do", { queue: this.state.queue, held: this.state.held }, { queue: [], held: [] });
  }

  // --- internal ---

  /** Everybody answers, and all is done. */
  #rest(): void {
    for (let turn = 0; turn < 200 && (this.asked.length > 0 || this.change !== null || this.waits > 0); turn++) {
      for (let one = this.asked.shift(); one !== undefined; one = this.asked.shift())
        this.#tell(one, this.model.answer(one.have));
      this.finish(true);
      this.wake();
    }
  }

  #note(): void {
    const { epoch, oldest, states } = this.model;
    for (const [at, circuits] of states.entries())
      this.#had.set(`${epoch} ${oldest + at}`, JSON.stringify(shown(circuits)));
  }

  /** What is true at every moment. */
  #holds(): void {
    const { working, queue, run, phase } = this.state;
    same("a change is under way", this.change !== null, working !== null);
    if (working === null) same("what waits though nothing is under way", queue, []);
    const fetches = this.asked.filter(({ isPoll }) => !isPoll).length;
    const takes = [working, ...queue].filter((one) => one?.kind === "answer" || one?.kind === "end").length;
    same("what a run of fetches waits for", this.waits + fetches + takes, run === null ? 0 : 1);
    if (phase.kind !== "synced" || working !== null) return;
    same("what was held until now", this.state.held, []);
    const { epoch, revision } = this.state;
    same("the circuits of this revision", JSON.stringify(shown([...this.table.values()])), this.#had.get(`${epoch} ${revision}`)); // prettier-ignore
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case "change":
        same("a second change at once", this.change, null);
        this.change = effect.change;
        return;
      case "wait":
        this.waits++;
        return;
      case "ask": {
        const { have } = effect;
        return void this.asked.push({ have, isPoll: false, early: this.model.answer(have) });
      }
      case "known":
      case "restored":
      case "settled":
      case "gaveUp":
      case "finished":
      case "log":
    }
  }

  #event(kind: "deliver" | "repeat" | "drop", at: number): void {
    const event = this.events[at % Math.max(1, this.events.length)];
    if (event === undefined) return;
    if (kind !== "repeat") this.events.splice(this.events.indexOf(event), 1);
    if (kind !== "drop") this.send({ kind: "event", event });
  }

  #answer(kind: "answer" | "answer late" | "fail", at: number): void {
    const [one] = this.asked.splice(at % Math.max(1, this.asked.length), 1);
    if (one === undefined) return;
    if (kind !== "fail") return this.#tell(one, kind === "answer" ? this.model.answer(one.have) : one.early);
    if (!one.isPoll) this.send({ kind: "failed", error: new Error("the coordinator is away") });
  }

  #tell({ isPoll, have }: Asked, answer: WorkerCircuits): void {
    if (isPoll && have !== null) this.send({ kind: "polled", asked: have, answer, ticket: 0 });
    else this.send({ kind: "answered", answer });
  }

  /** Gives whether it tells of a circuit that is not there. */
  #apply(change: Change): boolean {
    const { table } = this;
    const put = (circuits: readonly Circuit[]) => {
      for (const one of circuits) {
        for (const { id, port } of table.values()) if (port === one.port) table.delete(id);
        table.set(one.id, one);
      }
    };
    switch (change.kind) {
      case "add":
        put(change.circuits);
        return false;
      case "drop":
        for (const id of change.ids) table.delete(id);
        return false;
      case "replace":
        table.clear();
        put(change.circuits);
        return false;
      case "change":
        for (const id of change.removed) table.delete(id);
        put(change.circuits);
        return false;
      case "again":
        return change.circuits.some(({ id }) => !table.has(id));
    }
  }
}

test(
  "a node's table becomes its coordinator's, whatever is lost on the way: 10,000 runs of 50 steps",
  () =>
    fc.assert(
      fc.property(steps, fc.boolean(), fc.boolean(), (all, delivered, said) => {
        const world = new World();
        for (const one of all) world.take(one);
        // The last events may come, or never.
        if (delivered) for (const event of world.events.splice(0)) world.send({ kind: "event", event });
        world.settle(said);
        world.check();
      }),
      runs(10_000),
    ),
  TIMEOUT_MS,
);
