/**
 * Keeps one worker process running, and replaces it without a gap: a second one is started beside it on the same ports,
 * and only when that serves is the first asked to stop. What is done when is decided in step.ts; this carries it out.
 * Processes and log are handed in by supervise.ts.
 */
import type { Log } from "../../shared/runtime/log.ts";
import { initial, isSettled, type Effect, type Input, type Limits, type State } from "./state.ts";
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
  /** A worker like this one has served before: one that can't be started is tried again from the beginning. */
  hasServed?: boolean;
}

export interface Supervisor {
  /** Starts a successor, which takes over when it serves. One after the other: asked meanwhile, it is done later. */
  replace(): void;
  /** Does that, and resolves when nobody comes or goes any more: true when another process serves, or is about to. */
  replaced(): Promise<boolean>;
  /** Resolves when the first one serves. */
  served: Promise<void>;
  /** The process that serves; null when there is none just now. */
  serving(): number | null;
  /** True for a process that is to go on: not for one that was asked to go. */
  keeps(pid: number): boolean;
  /** Ends all; asked once more, at once. */
  stop(): void;
  /** Resolves with the exit code when all have ended: after `stop`, or when the first one could not start. */
  done: Promise<number>;
}

const PAUSE = { first: 1000, most: 30_000 };
const GRACE_MS = 60_000;

/** Throws when the first worker can't be started, and none like it has served before. */
export function startSupervisor(deps: SupervisorDeps): Supervisor {
  const { start, log, readyMs, pause = PAUSE, graceMs = GRACE_MS, hasServed = false } = deps;
  const limits: Limits = { readyMs, pause, graceMs };
  let state: State = initial(limits, hasServed);
  const children = new Map<number, { child: Child; late: ReturnType<typeof setTimeout> | undefined }>();
  let started = 0;
  const done = Promise.withResolvers<number>();
  const served = Promise.withResolvers<void>();
  let settled = Promise.withResolvers<void>();

  function send(input: Input): void {
    const next = step(state, input, limits);
    state = next.state;
    for (const effect of next.effects) carryOut(effect);
    if (state.current?.served === true) served.resolve();
    if (!isSettled(state) && !state.stopping) return;
    settled.resolve();
    settled = Promise.withResolvers();
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

  if (hasServed) startOne(null);
  else follow(start(null));
  return {
    replace: () => send({ kind: "replace" }),
    async replaced() {
      const before = state.current?.pid;
      const { promise } = settled;
      send({ kind: "replace" });
      await promise;
      return before === undefined || state.current?.pid !== before;
    },
    served: served.promise,
    keeps: (pid) => [state.current, state.successor].some((one) => one?.pid === pid && one.leavesIn === null),
    serving: () => (state.current?.served === true ? state.current.pid : null),
    stop: () => send({ kind: "stop" }),
    done: done.promise,
  };
}
