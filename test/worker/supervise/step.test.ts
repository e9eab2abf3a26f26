/** The supervisor's machine by itself: in whatever order workers serve, fail and end, somebody serves or is about to. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { initial, type Effect, type Input, type Limits, type State } from "../../../worker/supervise/state.ts";
import { step } from "../../../worker/supervise/step.ts";

const LIMITS: Limits = { readyMs: 60_000, pause: { first: 1000, most: 3000 }, graceMs: 500 };

/** Takes the inputs in turn; gives what the last one has led to. What is started is there at once, with its id as pid. */
function play(from: State, ...inputs: Input[]): { state: State; effects: Effect[] } {
  let state = from;
  let effects: Effect[] = [];
  for (const input of inputs) {
    const next = step(state, input, LIMITS);
    state = next.state;
    effects = [...next.effects];
  }
  return { state, effects };
}

const started = (id: number): Input => ({ kind: "started", id, pid: 100 + id });
const serves = (id: number): Input => ({ kind: "serves", id, stopMs: 2000 });
const ended = (id: number, code = 0): Input => ({ kind: "ended", id, code });
const replace: Input = { kind: "replace" };
const late = (id: number): Input => ({ kind: "late", id });
const shown = (effects: readonly Effect[]) => effects.filter(({ kind }) => kind !== "log");

const { state: serving } = play(initial(LIMITS), started(1), serves(1));
const { state: replacing } = play(serving, replace, started(2));

test("the successor is started beside the one that serves, and told whom it follows", () => {
  expect(play(serving, replace).effects).toEqual([{ kind: "start", predecessor: 101 }]);
  expect(shown(play(serving, replace, started(2)).effects)).toEqual([{ kind: "limit", id: 2, ms: 60_000 }]);
});

test("when it serves, the old one is asked to go, and has the time that it said and a little more", () => {
  const { state, effects } = play(replacing, serves(2));
  expect(shown(effects)).toEqual([
    { kind: "limit", id: 2, ms: null },
    { kind: "signal", id: 1, signal: "SIGTERM" },
    { kind: "limit", id: 1, ms: 2500 },
  ]);
  expect([state.current?.id, state.successor, state.leaving?.id]).toEqual([2, null, 1]);
  expect(shown(play(state, late(1)).effects)).toEqual([{ kind: "signal", id: 1, signal: "SIGKILL" }]);
});

describe("a successor that does not serve in time", () => {
  const { state: given, effects } = play(replacing, late(2));

  test("is asked to go, then killed", () => {
    expect(shown(effects)).toEqual([
      { kind: "signal", id: 2, signal: "SIGTERM" },
      { kind: "limit", id: 2, ms: 10_000 },
    ]);
    expect(shown(play(given, late(2)).effects)).toEqual([{ kind: "signal", id: 2, signal: "SIGKILL" }]);
  });

  test("takes nothing over any more, also when the old one dies", () => {
    expect(play(given, serves(2))).toEqual({ state: given, effects: [] });
    const { state, effects: after } = play(given, ended(1, 1));
    expect([state.current, shown(after)]).toEqual([null, [{ kind: "pause", ms: 1000 }]]);
  });
});

test("the pauses before a worker that dies is started again grow to a limit, and begin anew when one has served", () => {
  let state = play(serving, ended(1, 1)).state;
  const pauses: unknown[] = [];
  for (let id = 2; id < 6; id++) {
    const next = play(state, { kind: "paused" }, started(id), ended(id, 1));
    state = next.state;
    pauses.push(...shown(next.effects));
  }
  expect(pauses).toEqual([2000, 3000, 3000, 3000].map((ms) => ({ kind: "pause", ms })));
  const { effects } = play(state, { kind: "paused" }, started(6), serves(6), ended(6, 1));
  expect(shown(effects)).toEqual([{ kind: "pause", ms: 1000 }]);
});

test("what can't be started is tried again; of a successor it is only said", () => {
  const unstartable: Input = { kind: "unstartable", error: new Error("ENOENT") };
  const { effects } = play(serving, ended(1, 1), { kind: "paused" }, unstartable);
  expect(shown(effects)).toEqual([{ kind: "pause", ms: 2000 }]);
  expect(shown(play(serving, replace, unstartable).effects)).toEqual([]);
});

test("an end that comes twice, or of a process that is not there, changes nothing", () => {
  expect(play(serving, ended(7))).toEqual({ state: serving, effects: [] });
  expect(play(serving, serves(7))).toEqual({ state: serving, effects: [] });
  expect(play(serving, late(7))).toEqual({ state: serving, effects: [] });
});

/** A machine with processes that do what they want, but end when they are killed. */
class World {
  state: State = initial(LIMITS);
  /** Of the processes: whether they said that they serve, and whether they were asked to go. */
  readonly processes = new Map<number, { serves: boolean; isAsked: boolean }>();
  pauses = 0;
  done: number | null = null;
  #ids = 0;

  constructor() {
    this.#start();
  }

  send(input: Input): void {
    const { state, effects } = step(this.state, input, LIMITS);
    this.state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  serve(at: number): void {
    const id = this.#at(at);
    if (id === undefined) return;
    const process = this.processes.get(id);
    if (process !== undefined) process.serves = true;
    this.send(serves(id));
  }

  end(at: number): void {
    const id = this.#at(at);
    if (id !== undefined) this.#end(id);
  }

  late(at: number): void {
    const id = this.#at(at);
    if (id !== undefined) this.send(late(id));
  }

  wake(): void {
    if (this.pauses === 0) return;
    this.pauses--;
    this.send({ kind: "paused" });
  }

  // --- internal ---

  #at(at: number): number | undefined {
    return [...this.processes.keys()][at % Math.max(1, this.processes.size)];
  }

  #start(): void {
    const id = ++this.#ids;
    this.processes.set(id, { serves: false, isAsked: false });
    this.send(started(id));
  }

  #end(id: number): void {
    this.processes.delete(id);
    this.send(ended(id, 1));
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case "start":
        return this.#start();
      case "signal": {
        if (effect.signal === "SIGKILL") return this.#end(effect.id);
        const process = this.processes.get(effect.id);
        // Whoever serves is asked to go only when another one serves that is not.
        if (process?.serves === true && !this.state.stopping) {
          const others = [...this.processes].filter(([id, one]) => id !== effect.id && one.serves && !one.isAsked);
          if (others.length === 0) throw new Error("the only one that serves was asked to go");
        }
        if (process !== undefined) process.isAsked = true;
        return;
      }
      case "pause":
        this.pauses++;
        return;
      case "done":
        this.done = effect.code;
        return;
      case "limit":
      case "log":
    }
  }
}

const what = fc.record({
  kind: fc.constantFrom("serve", "serve", "end", "late", "wake", "replace", "stop" as const),
  at: fc.nat(2),
});

test("whatever happens in whatever order: 5,000 runs of 40 steps", () => {
  fc.assert(
    fc.property(fc.array(what, { minLength: 40, maxLength: 40 }), fc.boolean(), (all, mayStop) => {
      const world = new World();
      for (const { kind, at } of all) {
        if (kind === "replace") world.send(replace);
        else if (kind === "stop") world.send({ kind: mayStop ? "stop" : "replace" });
        else world[kind](at);
        const { current, successor, leaving, stopping } = world.state;
        const known = [current, successor, leaving].flatMap((one) => (one === null ? [] : [one.id]));
        // It knows all processes, and there are never more than one that serves, one that comes and one that goes.
        expect(known.toSorted()).toEqual([...world.processes.keys()].toSorted());
        if (world.done !== null) continue;
        // Somebody is there, or is about to be started; and once stopped, it ends when the last one has.
        if (stopping) expect(known.length).toBeGreaterThan(0);
        else expect(current === null ? world.pauses : 1).toBe(1);
      }
    }),
    { numRuns: 5000 },
  );
});
