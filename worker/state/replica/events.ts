/** The machine's part about events: held, applied, acknowledged again or dropped, by where they stand to the table. Pure. */
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { lose } from "./fetches.ts";
import type { Heard, ItemOf, State, Step } from "./state.ts";
import { enqueue, log, lost, only, work } from "./steps.ts";

/** Events that wait; when there are more, they are left to a fetch. */
export const MAX_HELD = 10_000;

/** An event comes: it waits for its turn, or for the fetch that is under way. */
export function heard(state: State, one: Heard): Step {
  if (state.stopped) return only(state);
  if (state.phase.kind === "synced") {
    // A queue that grows without end would be no faster than a fetch.
    return state.queue.length < MAX_HELD ? only(enqueue(state, { kind: "event", heard: one })) : lose(state);
  }
  const { event } = one;
  // Perhaps nothing can be fetched any more.
  const isEnd = state.leaving && event.name === "appproxy_circuit_removed_event";
  return only(hold(isEnd ? enqueue(state, { kind: "removal", circuits: event.payload.circuits }) : state, one));
}

/** Keeps an event for when the circuits are known. */
export function hold(state: State, one: Heard): State {
  if (state.held.length < MAX_HELD) return { ...state, held: [...state.held, one] };
  return { ...state, phase: lost(state.phase) };
}

/** An event in its turn. */
export function live(state: State, item: ItemOf<"event">): Step {
  if (state.stopped) return only(state);
  const { event } = item.heard;
  // Another event before it showed a gap.
  if (state.phase.kind !== "synced") return only(hold(state, item.heard));
  const where = placeOf(state, event);
  if (where !== "elsewhere") return where === "next" ? apply(state, item) : again(state, item);
  const about = { revision: state.revision, event_revision: event.payload.revision };
  const waiting = lose(hold(state, item.heard));
  return log(waiting, "info", about, "events were missed; fetching circuits");
}

/** An event that was held, after the answer that it was held for. */
export function replay(state: State, item: ItemOf<"replay">): Step {
  const { event, begun } = item.heard;
  const where = placeOf(state, event);
  if (where !== "elsewhere") return where === "next" ? apply(state, item) : again(state, item);
  if (begun === state.begun) return lose(hold(state, item.heard));
  // Heard before this answer was asked for, and not in it: it is of another database, or a replay of one.
  const about = { revision: state.revision, event_revision: event.payload.revision };
  return log(only(state), "info", about, "event dropped: it does not belong to the coordinator's database");
}

/** The run is over before all that was held has been replayed: it waits for the next one. */
export function holdAgain(state: State): State {
  const replays = state.queue.flatMap((item) => (item.kind === "replay" ? [item.heard] : []));
  const queue = state.queue.filter(({ kind }) => kind !== "replay" && kind !== "end");
  return { ...state, queue, held: [...replays, ...state.held].slice(0, MAX_HELD) };
}

// --- internal ---

/** Where an event stands to the table. Events of an older coordinator have no place: they are taken as they come. */
function placeOf({ revision, epoch }: State, { payload }: AppProxyEvent): "next" | "old" | "elsewhere" {
  const { revision: theirs, first_revision: first = theirs, epoch: database } = payload;
  if (theirs === undefined || first === undefined || revision === null) return "next";
  if (database !== epoch || first > revision + 1) return "elsewhere";
  return theirs <= revision ? "old" : "next";
}

function apply(state: State, item: ItemOf<"event" | "replay">): Step {
  const { event } = item.heard;
  const { revision = state.revision } = event.payload;
  const next = state.revision === null ? state : { ...state, revision };
  switch (event.name) {
    case "appproxy_circuit_created_event":
      return work(next, item, { kind: "add", circuits: event.payload.circuits, requestId: event.requestId });
    case "appproxy_circuit_removed_event":
      return work(next, item, { kind: "drop", ids: event.payload.circuits.map(({ id }) => id) });
    case "appproxy_circuit_route_updated_event": {
      const circuit = { ...event.payload.circuit, route_info: event.payload.routes };
      return work(next, item, { kind: "add", circuits: [circuit], requestId: event.requestId });
    }
    case "appproxy_worker_circuit_added_event":
    case "appproxy_worker_circuit_refused_event":
    case "appproxy_circuit_probe_event":
      return only(next);
  }
}

/** A creation that is told again is acknowledged again. */
function again(state: State, item: ItemOf<"event" | "replay">): Step {
  const { event } = item.heard;
  if (event.name !== "appproxy_circuit_created_event") return only(state);
  return work(state, item, { kind: "again", circuits: event.payload.circuits, requestId: event.requestId });
}
