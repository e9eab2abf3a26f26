/** The machine's part about fetches: runs of them, and what their answers do to the table and to the trust in it. Pure. */
import type { WorkerCircuits } from "../../../shared/protocol/schema/worker.ts";
import {
  basis,
  isSuspect,
  type Effect,
  type Item,
  type ItemOf,
  type Outcome,
  type Phase,
  type State,
  type Step,
} from "./state.ts";
import { distrusted, log, lost, only, trusted, work } from "./steps.ts";

/** Between fetches, growing: nobody can make a worker fetch without a pause. Milliseconds. */
const PAUSE_MS = { first: 100, most: 2000 };

/** Events may have been missed: fetches what they told. */
export function lose(state: State): Step {
  return run({ ...state, phase: lost(state.phase) });
}

/** The table differs from what it should be: fetches everything. */
export function distrust(state: State): Step {
  return lose({ ...state, phase: distrusted(state.phase) });
}

/** Starts a run of fetches if none is under way. */
export function run(state: State): Step {
  if (state.run !== null) return only(state);
  return {
    state: { ...state, run: { pause: PAUSE_MS.first } },
    effects: [{ kind: "wait", until: state.fetchedAt + PAUSE_MS.first }],
  };
}

/** The pause before a fetch is over. */
export function begin(state: State): Step {
  if (state.stopped) return endRun(state);
  const have = basis(state);
  const phase: Phase = { kind: "fetching", suspect: isSuspect(state.phase), missed: false };
  return { state: { ...state, phase, begun: state.begun + 1 }, effects: [{ kind: "ask", have }] };
}

/** A fetch and what it brought are over: the circuits are known, or there is another one after a pause. */
export function end(state: State, at: number): Step {
  if (state.stopped || state.phase.kind === "synced") return endRun(state);
  const { pause } = state.run ?? { pause: PAUSE_MS.first };
  return {
    state: { ...state, run: { pause: Math.min(pause * 2, PAUSE_MS.most) } },
    effects: [{ kind: "wait", until: at + pause }],
  };
}

/** Events wait until the next fetch, so that one must come soon, whoever asked for this one. */
export function giveUp(state: State, error: unknown): Step {
  const phase: Phase = { kind: isSuspect(state.phase) ? "suspect" : "unknown" };
  return { state: { ...state, phase, run: null }, effects: [{ kind: "gaveUp", error }] };
}

/** Applies everything, or changes. */
export function applyAnswer(state: State, item: ItemOf<"answer" | "poll">): Step {
  const { circuits, removed = [], since, revision: theirs = 0, epoch } = item.answer;
  if (since === undefined) return work(state, item, { kind: "replace", circuits, afresh: epoch !== state.epoch });
  // Events may have been faster, and changes of another database lead nowhere: then there is only something to find out.
  const isNews = canBuildOn(state, item.answer) && (state.revision ?? 0) < theirs;
  return work(
    state,
    item,
    isNews ? { kind: "change", removed, circuits } : { kind: "change", removed: [], circuits: [] },
  );
}

/** The table is now all that the coordinator has told. */
export function adopt(state: State, snapshot: WorkerCircuits, { digest, circuits }: Outcome): Step {
  const { revision = null, epoch, digest: theirs } = snapshot;
  const comparable = revision !== null && theirs === digest;
  const next = { ...state, phase: trusted(state.phase), revision, epoch, tellsChanges: true, comparable };
  if (revision === null || theirs === undefined || comparable) return only(next);
  return log(only(next), "error", { revision, circuits }, "the coordinator's digest is not that of its circuits");
}

/** The changes are applied. Distrusts the table when they do not lead to what the coordinator has. */
export function compare(state: State, changes: WorkerCircuits, { digest }: Outcome): Step {
  if (!canBuildOn(state, changes)) return only({ ...state, phase: distrusted(state.phase) });
  const { revision: theirs = 0, digest: wanted } = changes;
  // Events were faster: what is here is newer.
  if ((state.revision ?? 0) > theirs) return only({ ...state, tellsChanges: true });
  // What could not be compared, as a circuit that can't be read, may be gone, and what is equal can be compared.
  const comparable = state.comparable || wanted === digest;
  const next = { ...state, revision: theirs, tellsChanges: true, comparable };
  if (!comparable || wanted === undefined || wanted === digest) return only(next);
  const suspect = { ...next, phase: distrusted(state.phase) };
  const about = { revision: theirs };
  return log(only(suspect), "warn", about, "the circuits differ from the coordinator's; fetching everything");
}

/** What was heard while a fetch was under way comes after its answer, and before everything else. */
export function taken(state: State, at: number): Step {
  const { phase, held, queue, syncedAt } = state;
  const end: Item = { kind: "end", at };
  if (isSuspect(phase)) return only({ ...state, queue: [end, ...queue] });
  const isSynced = phase.kind === "fetching" && !phase.missed;
  const replays = held.map((heard): Item => ({ kind: "replay", heard }));
  return only({
    ...state,
    phase: { kind: isSynced ? "synced" : "unknown" },
    fetchedAt: at,
    syncedAt: isSynced ? at : syncedAt,
    held: [],
    queue: [...replays, end, ...queue],
  });
}

// --- internal ---

function endRun(state: State): Step {
  const known: Effect[] = state.phase.kind === "synced" ? [{ kind: "known", revision: state.revision }] : [];
  return { state: { ...state, run: null }, effects: [...known, { kind: "settled" }] };
}

function canBuildOn({ revision, epoch }: State, { since = Infinity, epoch: theirs }: WorkerCircuits): boolean {
  return revision !== null && revision >= since && epoch === theirs;
}
