/**
 * Keeps one worker process running, and replaces it without a gap: a second one is started beside it on the same ports,
 * and only when that serves is the first asked to stop. What is done when is decided in step.ts; this carries it out.
 * Processes and log are handed in by supervise.ts.
 */
import type { Log } from "../../shared/runtime/log.ts";
import { initial, type Effect, type Input, type Limits, type State } from "./state.ts";
import { step } from "./step.ts";

/** A worker's process. */
export interface Child {
  readonly pid: number;
  /** Resolves when it says that it serves, with the milliseconds that its stop may take; never, when it does not. */
  ready: Promise<number>;
  /** Its exit code. */
  exited: Promise<number>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface SupervisorDeps extends Pick<Limits, "readyMs">, Partial<Pick<Limits, "pause" | "graceMs">> {
  /** Starts a worker that takes over from process `predecessor`, if there is one. Throws when it can't be started. */
  start: (predecessor: number | null) => Child;
  log: Log;
}

export interface Supervisor {
  /** Starts a successor, which takes over when it serves. One after the other: asked meanwhile, it is done later. */
  replace(): void;
  /** Ends all; asked once more, at once. */
  stop(): void;
  /** Resolves with the exit code when all have ended: after `stop`, or when the first one could not start. */
  done: Promise<number>;
}

const PAUSE = { first: 1000, most: 30_000 };
const GRACE_MS = 60_000;

/** Throws when the first worker can't be started. */
export function startSupervisor(deps: SupervisorDeps): Supervisor {
  const { start, log, readyMs, pause = PAUSE, graceMs = GRACE_MS } = deps;
  const limits: Limits = { readyMs, pause, graceMs };
  let state: State = initial(limits);
  const children = new Map<number, { child: Child; late: ReturnType<typeof setTimeout> | undefined }>();
  let started = 0;
  const done = Promise.withResolvers<number>();

  function send(input: Input): void {
    const next = step(state, input, limits);
    state = next.state;
    for (const effect of next.effects) carryOut(effect);
  }

  function carryOut(effect: Effect): void {
    switch (effect.kind) {
      case "start":
        return startOne(effect.predecessor);
      case "signal":
        return children.get(effect.id)?.child.kill(effect.signal);
      case "limit":
        return limit(effect.id, effect.ms);
      case "pause":
        return void setTimeout(() => send({ kind: "paused" }), effect.ms);
      case "done":
        return done.resolve(effect.code);
      case "log":
        return log[effect.level](effect.about, effect.message);
    }
  }

  function startOne(predecessor: number | null): void {
    let child: Child;
    try {
      child = start(predecessor);
    } catch (error) {
      return send({ kind: "unstartable", error });
    }
    follow(child);
  }

  function follow(child: Child): void {
    const id = ++started;
    children.set(id, { child, late: undefined });
    send({ kind: "started", id, pid: child.pid });
    void child.ready.then((stopMs) => send({ kind: "serves", id, stopMs }));
    void child.exited.then((code) => {
      limit(id, null);
      children.delete(id);
      send({ kind: "ended", id, code });
    });
  }

  function limit(id: number, ms: number | null): void {
    const entry = children.get(id);
    if (entry === undefined) return;
    clearTimeout(entry.late);
    if (ms !== null) entry.late = setTimeout(() => send({ kind: "late", id }), ms);
  }

  follow(start(null));
  return {
    replace: () => send({ kind: "replace" }),
    stop: () => send({ kind: "stop" }),
    done: done.promise,
  };
}
