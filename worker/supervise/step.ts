/**
 * The supervisor's machine, pure: which worker is started, asked to go or killed. Run by supervisor.ts.
 *
 * | what happens             | current                            | successor                          | leaving             |
 * |--------------------------|------------------------------------|------------------------------------|---------------------|
 * | serves                   | a replacement that waits is begun  | → current; the current one leaves  | –                   |
 * | ends                     | the successor goes on, or it is    | forgotten; the next replacement    | forgotten; the next |
 * |                          | started again after a pause        | that waits is begun                | one is begun        |
 * | its time is over         | –                                  | asked to go; then killed           | killed              |
 * | a replacement is wanted  | a successor is started beside it   | waits for it                       | waits for it        |
 * | stop, and another one    | asked to go, killed                | asked to go, killed                | left alone, killed  |
 *
 * A worker that ends before any has served ends the supervisor: what can't be started at all is for the operator.
 */
import { reason } from "../../shared/failure.ts";

import type { Effect, Input, Limits, Process, State, Step } from "./state.ts";

/** A successor that did not become ready, and does not go when it is asked. Milliseconds. */
const KILL_MS = 10_000;

/** What follows from `input`: the next state, and what is to be done in this order. */
export function step(state: State, input: Input, limits: Limits): Step {
  switch (input.kind) {
    case "started":
      return started(state, input, limits);
    case "unstartable":
      return unstartable(state, input.error, limits);
    case "serves":
      return serves(state, input, limits);
    case "ended":
      return ended(state, input, limits);
    case "late":
      return late(state, input.id, limits);
    case "paused":
      return state.stopping
        ? only(state)
        : only({ ...state, starting: "current" }, { kind: "start", predecessor: null });
    case "replace":
      return replace(state);
    case "stop":
      return stop(state);
  }
}

// --- internal ---

function alive({ current, successor, leaving }: State): Process[] {
  return [current, successor, leaving].filter((one) => one !== null);
}

function started(state: State, { id, pid }: { id: number; pid: number }, { readyMs }: Limits): Step {
  const process: Process = { id, pid, served: false, stopMs: 0, leavesIn: null };
  const said = log("info", { pid }, "worker started");
  if (state.starting === "successor")
    return only({ ...state, starting: null, successor: process }, said, { kind: "limit", id, ms: readyMs });
  return only({ ...state, starting: null, current: process, wanted: false }, said);
}

function unstartable(state: State, error: unknown, limits: Limits): Step {
  const why = reason(error);
  const next = { ...state, starting: null };
  if (state.starting === "successor")
    return only(next, log("error", { reason: why }, "new worker process can't be started; the old one goes on"));
  const about = { reason: why, again_in_ms: state.pause };
  return startLater(next, log("error", about, "the worker can't be started; trying it again"), limits);
}

function startLater(state: State, said: Effect, { pause: { most } }: Limits): Step {
  return only({ ...state, pause: Math.min(state.pause * 2, most) }, said, { kind: "pause", ms: state.pause });
}

function serves(state: State, { id, stopMs }: { id: number; stopMs: number }, { pause, graceMs }: Limits): Step {
  const process = alive(state).find((one) => one.id === id);
  // One that was given up has been told to go: the old one has to stay.
  if (process === undefined || process.leavesIn !== null || state.stopping) return only(state);
  const ready = { ...process, served: true, stopMs };
  const next = { ...state, hasServed: true, pause: pause.first };
  if (id === state.successor?.id) return takeOver(next, ready, graceMs);
  const served = { ...next, current: ready };
  return state.wanted && state.leaving === null ? replace(served) : only(served);
}

function takeOver(state: State, process: Process, graceMs: number): Step {
  const { current: older } = state;
  const about = { pid: process.pid, predecessor: older?.pid };
  const said = log("info", about, "new worker process is ready; the old one drains");
  const next = { ...state, current: process, successor: null };
  const unlimited: Effect = { kind: "limit", id: process.id, ms: null };
  if (older === null) return only(next, unlimited, said);
  const { process: leaving, effects } = sendAway(older, older.stopMs + graceMs);
  return only({ ...next, leaving }, unlimited, said, ...effects);
}

/** Asks it to go; when the time is over, it is killed. */
function sendAway(process: Process, ms: number): { process: Process; effects: Effect[] } {
  const { id } = process;
  return {
    process: { ...process, leavesIn: ms },
    effects: [
      { kind: "signal", id, signal: "SIGTERM" },
      { kind: "limit", id, ms },
    ],
  };
}

function ended(state: State, { id, code }: { id: number; code: number }, limits: Limits): Step {
  const process = alive(state).find((one) => one.id === id);
  if (process === undefined) return only(state);
  const about = { pid: process.pid, code };
  if (state.stopping) return endedAtStop(without(state, id), process, code);
  if (id === state.leaving?.id) {
    return goOn(without(state, id), log("info", about, "old worker process has ended"));
  }
  if (id === state.successor?.id) {
    const said = log("error", about, "new worker process ended before it was ready; the old one goes on");
    return goOn(without(state, id), said);
  }
  return died(without(state, id), about, limits);
}

function without(state: State, id: number): State {
  const kept = (one: Process | null) => (one?.id === id ? null : one);
  return { ...state, current: kept(state.current), successor: kept(state.successor), leaving: kept(state.leaving) };
}

function endedAtStop(state: State, process: Process, code: number): Step {
  // One that has never served had perhaps not come as far as to hear a signal.
  const worst = process.served ? Math.max(state.worst, code) : state.worst;
  const next = { ...state, worst };
  return alive(next).length === 0 ? only(next, { kind: "done", code: worst }) : only(next);
}

/** One is gone that nobody misses: what has waited for its end is begun. */
function goOn(state: State, said: Effect): Step {
  if (!state.wanted) return only(state, said);
  const next = replace(state);
  return only(next.state, said, ...next.effects);
}

function died(state: State, about: { pid: number; code: number }, limits: Limits): Step {
  const { successor } = state;
  if (successor !== null && successor.leavesIn === null) {
    const said = log("error", about, "worker process ended by itself; the new one goes on");
    return only({ ...state, current: successor, successor: null }, { kind: "limit", id: successor.id, ms: null }, said);
  }
  if (!state.hasServed) return only(state, { kind: "done", code: about.code });
  const said = { ...about, again_in_ms: state.pause };
  return startLater(state, log("error", said, "the worker has ended by itself; starting it again"), limits);
}

function replace(state: State): Step {
  const { current, successor, leaving, stopping } = state;
  if (stopping) return only(state);
  if (current === null)
    return only(state, log("info", {}, "reload not needed: the worker process is being started again"));
  if (successor === null && leaving === null)
    return only({ ...state, wanted: false, starting: "successor" }, { kind: "start", predecessor: current.pid });
  const message = "replacement under way; the next one begins when the old worker process has ended";
  return only({ ...state, wanted: true }, log("info", {}, message));
}

function late(state: State, id: number, { readyMs }: Limits): Step {
  const process = alive(state).find((one) => one.id === id);
  if (process === undefined) return only(state);
  const { pid, leavesIn } = process;
  if (leavesIn !== null) {
    const said = log("error", { pid, within_ms: leavesIn }, "the worker does not end in time and is killed");
    return only(state, said, { kind: "signal", id, signal: "SIGKILL" });
  }
  if (id !== state.successor?.id) return only(state);
  const said = log("error", { pid, within_ms: readyMs }, "new worker process was not ready in time and is stopped");
  const { process: given, effects } = sendAway(process, KILL_MS);
  return only({ ...state, successor: given }, said, ...effects);
}

function stop(state: State): Step {
  const all = alive(state);
  const next = { ...state, stopping: true };
  if (all.length === 0) return only(next, { kind: "done", code: 0 });
  // One that leaves already keeps its time.
  const asked = state.stopping ? all : all.filter(({ leavesIn }) => leavesIn === null);
  const signal = state.stopping ? "SIGKILL" : "SIGTERM";
  return only(next, ...asked.map(({ id }): Effect => ({ kind: "signal", id, signal })));
}

function only(state: State, ...effects: Effect[]): Step {
  return { state, effects };
}

function log(level: "info" | "error", about: Record<string, unknown>, message: string): Effect {
  return { kind: "log", level, about, message };
}
