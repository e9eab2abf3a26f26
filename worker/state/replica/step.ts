/**
 * The replica's machine, pure: what is to be done when something is heard, answered or done. Run by replica.ts.
 *
 * | phase    | an event comes                        | missed, a gap | distrusted        | a pause is over  | answered               |
 * |----------|---------------------------------------|---------------|-------------------|------------------|------------------------|
 * | synced   | next: applied; old: acknowledged      | → unknown     | → suspect         | → fetching       | –                      |
 * |          | again; elsewhere: held, → unknown     |               |                   |                  |                        |
 * | unknown  | held                                  | –             | → suspect         | → fetching       | –                      |
 * | suspect  | held                                  | –             | –                 | → fetching (all) | –                      |
 * | fetching | held                                  | noted         | noted, all noted  | –                | applied; what was held |
 * |          |                                       |               |                   |                  | is replayed; → synced, |
 * |          |                                       |               |                   |                  | unknown or suspect     |
 *
 * An answer leads to `synced` when nothing was missed since it was asked for, to `unknown` when something was, and to
 * `suspect` when its changes do not lead to the coordinator's digest. A fetch that fails leads to `unknown` or `suspect`. In
 * all phases but `synced` a run of fetches is under way or one is asked for soon, because events wait for it.
 *
 * Changes of the table follow each other: what needs one waits in `queue` while another one is under way. What is decided
 * about events is in events.ts, about fetches in fetches.ts.
 */
import { reason } from "../../../shared/failure.ts";
import { heard, holdAgain, live, replay } from "./events.ts";
import { adopt, applyAnswer, begin, compare, distrust, end, giveUp, lose, run, taken } from "./fetches.ts";
import { isSuspect, type Input, type Item, type ItemOf, type Outcome, type State, type Step } from "./state.ts";
import { enqueue, finished, log, only, suspected, andThen, work } from "./steps.ts";

/** What follows from `input`: the next state, and what is to be done in this order. */
export function step(state: State, input: Input): Step {
  return andThen(take(state, input), advance);
}

// --- internal ---

function take(state: State, input: Input): Step {
  switch (input.kind) {
    case "event":
      return heard(state, { event: input.event, begun: state.begun });
    case "lose":
      return lose(state);
    case "distrust":
      return distrust(state);
    case "refresh":
      return run(state);
    case "waited":
      return begin(state);
    case "answered":
      return only(enqueue(state, { kind: "answer", answer: input.answer }));
    case "failed":
      return giveUp(state, input.error);
    case "polled":
      return only(enqueue(state, { ...input, kind: "poll" }));
    case "restore":
      return only(enqueue(state, { ...input, kind: "saved" }));
    case "changed":
    case "broken":
      return worked({ ...state, working: null }, state.working, input);
    case "leave":
      return only({ ...state, leaving: true });
    case "stop":
      return only({ ...state, stopped: true });
  }
}

/** The change that was under way is over. */
function worked(state: State, item: Item | null, input: Extract<Input, { kind: "changed" | "broken" }>): Step {
  if (item === null) return only(state);
  return input.kind === "changed" ? finish(state, item, input.outcome) : broken(state, item, input.error);
}

/** Takes what waits, until one of them needs a change of the table. */
function advance(state: State): Step {
  let all: Step = only(state);
  for (;;) {
    const [item, ...queue] = all.state.queue;
    if (all.state.working !== null || item === undefined) return all;
    all = andThen({ ...all, state: { ...all.state, queue } }, (now) => turn(now, item));
  }
}

function turn(state: State, item: Item): Step {
  switch (item.kind) {
    case "event":
      return live(state, item);
    case "replay":
      return replay(state, item);
    case "answer":
      return state.stopped ? end(state, state.fetchedAt) : applyAnswer(state, item);
    case "end":
      return end(state, item.at);
    case "poll":
      return takePoll(state, item);
    case "saved":
      // What the coordinator has said meanwhile is newer.
      if (state.fetchedAt > -Infinity || state.stopped) return finished(state, item.ticket);
      return work(state, item, {
        kind: "replace",
        circuits: item.saved.circuits,
        afresh: item.saved.epoch !== state.epoch,
      });
    case "removal":
      return work(state, item, { kind: "drop", ids: item.circuits.map(({ id }) => id) });
  }
}

function takePoll(state: State, item: ItemOf<"poll">): Step {
  const { asked, answer, ticket } = item;
  // What was found out meanwhile is newer.
  if (state.stopped || state.phase.kind !== "synced") return finished(state, ticket);
  if (answer.since !== undefined) return applyAnswer(state, item);
  // A version that does not know `since`, or changes that are not recorded any more. What was asked for counts: what is
  // here by now may have come with another fetch.
  const tellsChanges = answer.epoch !== asked.epoch || answer.revision !== asked.number;
  const next = { ...state, tellsChanges };
  return andThen(tellsChanges ? lose(next) : only(next), (now) => finished(now, ticket));
}

function finish(state: State, item: Item, outcome: Outcome): Step {
  switch (item.kind) {
    case "event":
      // Of a circuit that was never heard of: perhaps the database was put back from a backup.
      return outcome.isStrange ? lose(state) : only(state);
    case "answer": {
      const isAll = item.answer.since === undefined;
      const next = isAll ? adopt(state, item.answer, outcome) : compare(state, item.answer, outcome);
      return andThen(next, (now) => taken(now, outcome.at));
    }
    case "poll":
      return andThen(compare(state, item.answer, outcome), (now) => pollTaken(now, item, state.revision, outcome.at));
    case "saved":
      return andThen(adopt(state, item.saved, outcome), (now) => restored(now, item.ticket));
    case "replay":
    case "removal":
    case "end":
      return only(state);
  }
}

function pollTaken(state: State, { ticket }: ItemOf<"poll">, was: number | null, at: number): Step {
  if (isSuspect(state.phase)) return andThen(lose(state), (now) => finished(now, ticket));
  const { revision } = state;
  const done = finished({ ...state, syncedAt: at }, ticket);
  return revision === was ? done : log(done, "info", { revision, was }, "changes were fetched of which no event came");
}

function restored(state: State, ticket: number): Step {
  // Of circuits that could not be read there is no digest: changes alone would not bring them.
  const phase = state.comparable ? state.phase : suspected(state.phase);
  return andThen({ state: { ...state, phase }, effects: [{ kind: "restored" }] }, (now) => finished(now, ticket));
}

/** A change has failed midway: only everything mends that. */
function broken(state: State, item: Item, error: unknown): Step {
  const suspect = { ...state, phase: suspected(state.phase) };
  switch (item.kind) {
    case "event":
      return log(distrust(state), "error", { reason: reason(error) }, "cannot apply a change; fetching everything");
    case "answer":
    case "replay":
      return giveUp(holdAgain(suspect), error);
    case "poll":
      return andThen(distrust(state), (now) => finished(now, item.ticket, error));
    case "saved":
      return finished(suspect, item.ticket, error);
    case "removal":
    case "end":
      return log(only(state), "error", { reason: reason(error) }, "cannot close the ports of circuits that have ended");
  }
}
