/** The replica's machine by hand: what the model does not reach, as limits, pauses and ends. */
import { describe, expect, test } from "bun:test";
import type { AppProxyEvent } from "../../../../shared/protocol/events.ts";
import type { WorkerCircuits } from "../../../../shared/protocol/schema/worker.ts";
import {
  INITIAL,
  pollBasis,
  type Effect,
  type Input,
  type Outcome,
  type State,
} from "../../../../worker/state/replica/state.ts";
import { MAX_HELD } from "../../../../worker/state/replica/events.ts";
import { step } from "../../../../worker/state/replica/step.ts";
import { circuit } from "../../../support/values.ts";

const ID = "aaaaaaaa-0000-4000-8000-000000000000";

function event(revision: number, kind: "created" | "removed" = "created", epoch = "e"): AppProxyEvent {
  const payload = { target_worker_authority: "w", circuits: [circuit({ id: ID })], revision, epoch };
  return { name: `appproxy_circuit_${kind}_event`, source: "appproxy-coordinator", payload, requestId: "r" };
}

const hears = (revision: number, kind?: "created" | "removed", epoch?: string): Input => ({
  kind: "event",
  event: event(revision, kind, epoch),
});
const everything = (revision: number, digest = 0): WorkerCircuits => ({ circuits: [], revision, epoch: "e", digest });
const answered = (answer: WorkerCircuits): Input => ({ kind: "answered", answer });
const done = (more: Partial<Outcome> = {}): Input => ({
  kind: "changed",
  outcome: { digest: 0, circuits: 0, isStrange: false, at: 1000, ...more },
});

/** Takes the inputs in turn; gives what each of them has led to. */
function play(from: State, ...inputs: Input[]): { state: State; effects: Effect[][] } {
  const effects: Effect[][] = [];
  let state = from;
  for (const input of inputs) {
    const after = step(state, input);
    state = after.state;
    effects.push([...after.effects]);
  }
  return { state, effects };
}

const { state: synced } = play(INITIAL, { kind: "refresh" }, { kind: "waited" }, answered(everything(3)), done());
const kinds = (effects: Effect[] | undefined) => effects?.map(({ kind }) => kind);
const logged = (effects: Effect[][]) => effects.flat().flatMap((one) => (one.kind === "log" ? [one.message] : []));

test("a first fetch asks for everything, applies it, and is over when that is done", () => {
  const { state, effects } = play(INITIAL, { kind: "refresh" }, { kind: "waited" }, answered(everything(3)), done());
  expect(effects).toEqual([
    [{ kind: "wait", until: -Infinity }],
    [{ kind: "ask", have: null }],
    [{ kind: "change", change: { kind: "replace", circuits: [], afresh: true } }],
    [{ kind: "known", revision: 3 }, { kind: "settled" }],
  ]);
  expect(state).toMatchObject({ phase: { kind: "synced" }, revision: 3, fetchedAt: 1000, syncedAt: 1000, run: null });
});

test("whoever asks for what is being fetched waits for the same fetch", () => {
  const { effects } = play(synced, { kind: "refresh" }, { kind: "refresh" }, { kind: "lose" }, { kind: "distrust" });
  expect(effects.map(kinds)).toEqual([["wait"], [], [], []]);
});

test("between fetches there are pauses, which grow: nobody can make a worker fetch all the time", () => {
  let state: State = synced;
  const pauses: number[] = [];
  for (let at = 0; at < 7; at++) {
    // Something is missed while each of them is under way.
    const told = play(state, { kind: "lose" }, { kind: "waited" }, { kind: "lose" }, answered(everything(3)), done());
    state = told.state;
    const waits = told.effects.flat().filter((one) => one.kind === "wait");
    pauses.push((waits.at(-1)?.until ?? 0) - 1000);
  }
  expect(pauses).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
});

test("what is lost while a fetch is under way makes it fetch once more, from where it is then", () => {
  const { state, effects } = play(
    synced,
    { kind: "lose" },
    { kind: "waited" },
    { kind: "lose" },
    answered({ ...everything(4), since: 3 }),
    done(),
    { kind: "waited" },
  );
  expect(effects.at(-1)).toEqual([{ kind: "ask", have: { number: 4, epoch: "e" } }]);
  expect(state.phase).toEqual({ kind: "fetching", suspect: false, missed: false });
});

test("changes follow each other, and each is told with its request", () => {
  const { state, effects } = play(synced, hears(4), hears(5, "removed"), done(), done());
  expect(effects).toEqual([
    [{ kind: "change", change: { kind: "add", circuits: [circuit({ id: ID })], requestId: "r" } }],
    [],
    [{ kind: "change", change: { kind: "drop", ids: [ID] } }],
    [],
  ]);
  expect(state.revision).toBe(5);
});

test.each([
  ["waits, and makes it fetch what is between", "e", { held: 1, next: { number: 3, epoch: "e" } }],
  [
    "of another database waits too, until a fetch has shown which one it is",
    "f",
    { held: 1, next: { number: 3, epoch: "e" } },
  ],
])("an event that is not the next one %s", (_what, epoch, { held, next }) => {
  const { state, effects } = play(synced, hears(9, "created", epoch), { kind: "waited" });
  expect(logged(effects)).toEqual(["events were missed; fetching circuits"]);
  expect([state.held.length, effects.at(-1)]).toEqual([held, [{ kind: "ask", have: next }]]);
  // It was not in the answer, though it was heard before that was asked for.
  const after = play(state, answered({ ...everything(3), since: 3 }), done());
  expect(logged(after.effects)).toEqual(["event dropped: it does not belong to the coordinator's database"]);
  expect([after.state.phase, after.state.held]).toEqual([{ kind: "synced" }, []]);
});

test("a creation that is told again is acknowledged again; one that was never heard of makes it fetch", () => {
  const again = play(synced, hears(2));
  expect(again.effects).toEqual([
    [{ kind: "change", change: { kind: "again", circuits: [circuit({ id: ID })], requestId: "r" } }],
  ]);
  expect(play(again.state, done()).state.phase).toEqual({ kind: "synced" });
  expect(play(again.state, done({ isStrange: true })).state.phase).toEqual({ kind: "unknown" });
});

test("changes that do not lead to the coordinator's digest are not trusted", () => {
  const told = answered({ ...everything(4, 5), since: 3 });
  const { state, effects } = play(synced, { kind: "lose" }, { kind: "waited" }, told, done({ digest: 6 }));
  expect(logged(effects)).toEqual(["the circuits differ from the coordinator's; fetching everything"]);
  expect(play(state, { kind: "waited" }).effects).toEqual([[{ kind: "ask", have: null }]]);
});

describe("too many events", () => {
  test("while a fetch is under way are left to another fetch", () => {
    const fetching = play(synced, { kind: "lose" }, { kind: "waited" }).state;
    const full = { ...fetching, held: Array.from({ length: MAX_HELD }, () => ({ event: event(3), begun: 2 })) };
    const { state } = play(full, hears(5));
    expect([state.held.length, state.phase]).toEqual([MAX_HELD, { kind: "fetching", suspect: false, missed: true }]);
  });

  test("while a change is under way are left to a fetch", () => {
    const busy = play(synced, hears(4)).state;
    const waiting = Array.from(
      { length: MAX_HELD },
      () => ({ kind: "event", heard: { event: event(5), begun: 1 } }) as const,
    );
    const { state, effects } = play({ ...busy, queue: waiting }, hears(6));
    expect([state.queue.length, state.phase, kinds(effects[0])]).toEqual([MAX_HELD, { kind: "unknown" }, ["wait"]]);
  });
});

describe("a change that fails", () => {
  const broken: Input = { kind: "broken", error: new Error("no such port") };

  test("makes it fetch everything", () => {
    const { state, effects } = play(synced, hears(4), broken, { kind: "waited" });
    expect(logged(effects)).toEqual(["cannot apply a change; fetching everything"]);
    expect(effects.at(-1)).toEqual([{ kind: "ask", have: null }]);
    expect(state.phase).toMatchObject({ kind: "fetching", suspect: true });
  });

  test("in an answer makes the fetch fail, and what waits for it waits on", () => {
    const fetching = [{ kind: "lose" }, { kind: "waited" }, hears(4), hears(5)] as const;
    const { state, effects } = play(synced, ...fetching, answered({ ...everything(4), since: 3 }), broken);
    expect(kinds(effects.at(-1))).toEqual(["gaveUp"]);
    expect([state.phase, state.held.length, state.run]).toEqual([{ kind: "suspect" }, 2, null]);
  });

  test("in what was heard meanwhile keeps the rest of it, and does not ask twice", () => {
    const { state, effects } = play(
      synced,
      { kind: "lose" },
      { kind: "waited" },
      hears(4),
      hears(5),
      answered({ ...everything(3), since: 3 }),
      done(),
      broken,
    );
    expect(kinds(effects.at(-1))).toEqual(["gaveUp"]);
    expect([state.phase, state.held.length, state.queue]).toEqual([{ kind: "suspect" }, 1, []]);
  });

  test("in a poll is told to whoever polls, and makes it fetch everything", () => {
    const asked = { number: 3, epoch: "e" };
    const answer = { ...everything(4), since: 3 };
    const { state, effects } = play(synced, { kind: "polled", asked, answer, ticket: 7 }, broken);
    expect(effects.at(-1)).toEqual([
      { kind: "wait", until: 1100 },
      { kind: "finished", ticket: 7, error: broken.error },
    ]);
    expect(state.phase).toEqual({ kind: "suspect" });
  });
});

describe("saved circuits", () => {
  const restore = (digest: number): Input => ({ kind: "restore", saved: everything(3, digest), ticket: 1 });

  test("that are served while the first fetch is under way leave it what it asked for", () => {
    const { state, effects } = play(INITIAL, { kind: "refresh" }, { kind: "waited" }, restore(0), done());
    expect(kinds(effects.at(-1))).toEqual(["restored", "finished"]);
    expect([state.phase.kind, state.fetchedAt, state.revision]).toEqual(["fetching", -Infinity, 3]);
  });

  test("of which the digest is another one are not built on", () => {
    const asks = [{ kind: "refresh" }, { kind: "waited" }] as const;
    expect(play(INITIAL, restore(0), done(), ...asks).effects.at(-1)).toEqual([
      { kind: "ask", have: { number: 3, epoch: "e" } },
    ]);
    expect(play(INITIAL, restore(1), done(), ...asks).effects.at(-1)).toEqual([{ kind: "ask", have: null }]);
  });
});

describe("a poll", () => {
  test("is only for a node that knows its circuits, at a coordinator that tells changes", () => {
    expect(pollBasis(synced)).toEqual({ number: 3, epoch: "e" });
    expect(pollBasis(INITIAL)).toBeNull();
    expect(pollBasis(play(synced, { kind: "lose" }).state)).toBeNull();
    expect(pollBasis({ ...synced, tellsChanges: false })).toBeNull();
    expect(pollBasis({ ...synced, revision: null })).toBeNull();
  });
});

describe("an end", () => {
  test("leaves what waits, ends the run, and hears nothing any more", () => {
    const { state, effects } = play(synced, { kind: "lose" }, { kind: "waited" }, hears(4), { kind: "stop" }, hears(5));
    expect([state.held.length, effects.at(-1)]).toEqual([1, []]);
    expect(play(state, answered(everything(9))).effects).toEqual([[{ kind: "settled" }]]);
    expect(play(play(synced, { kind: "lose" }, { kind: "stop" }).state, { kind: "waited" }).effects).toEqual([
      [{ kind: "settled" }],
    ]);
  });

  test("of a node that leaves: circuits that end, end here at once, though what else was missed is not known", () => {
    const leaving = play(synced, { kind: "leave" }, { kind: "lose" }).state;
    const { state, effects } = play(leaving, hears(9, "removed"), hears(10));
    expect(effects).toEqual([[{ kind: "change", change: { kind: "drop", ids: [ID] } }], []]);
    expect(state.held.length).toBe(2);
  });
});
