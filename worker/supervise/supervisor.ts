/**
 * Keeps one worker process running, and replaces it without a gap: a second one is started beside it on the same ports,
 * and only when that serves is the first asked to stop. Processes, clock and log are handed in by supervise.ts.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";

/** A worker's process. */
export interface Child {
  readonly pid: number;
  /** Resolves when it says that it serves, with the milliseconds that its stop may take; never, when it does not. */
  ready: Promise<number>;
  /** Its exit code. */
  exited: Promise<number>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface SupervisorDeps {
  /** Starts a worker that takes over from process `predecessor`, if there is one. Throws when it can't be started. */
  start: (predecessor: number | null) => Child;
  log: Log;
  /** How long a successor may take until it serves. Milliseconds. */
  readyMs: number;
  /** Before a worker that has died is started again: doubled each time until one serves. Milliseconds. */
  pause?: { first: number; most: number };
  /** So much longer than it said may a worker that leaves take. Milliseconds. */
  graceMs?: number;
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
/** A successor that did not become ready, and does not go when it is asked. Milliseconds. */
const KILL_MS = 10_000;
const GRACE_MS = 60_000;

/** A worker with what has become of it. */
interface Entry {
  child: Child;
  served: boolean;
  /** As it has said. */
  stopMs: number;
  /** It was asked to go. */
  leaves: boolean;
  kill: ReturnType<typeof setTimeout> | undefined;
}

/** Throws when the first worker can't be started. */
export function startSupervisor(deps: SupervisorDeps): Supervisor {
  const { start, log, readyMs, pause: limits = PAUSE, graceMs = GRACE_MS } = deps;
  const alive = new Set<Entry>();
  /** Null while it waits to be started again. */
  let current: Entry | null = null;
  let successor: Entry | null = null;
  let leaving: Entry | null = null;
  let wanted = false;
  let hasServed = false;
  let stopping = false;
  let pause = limits.first;
  let again: ReturnType<typeof setTimeout> | null = null;
  let worst = 0;
  const done = Promise.withResolvers<number>();

  function launch(predecessor: number | null): Entry {
    const child = start(predecessor);
    const entry: Entry = { child, served: false, stopMs: 0, leaves: false, kill: undefined };
    alive.add(entry);
    log.info({ pid: child.pid }, "worker started");
    void child.ready.then((stopMs) => serves(entry, stopMs));
    void child.exited.then((code) => ended(entry, code));
    return entry;
  }

  function serves(entry: Entry, stopMs: number): void {
    // One that was given up has been told to go: the older one has to stay.
    if (entry.leaves || stopping || !alive.has(entry)) return;
    entry.served = true;
    entry.stopMs = stopMs;
    hasServed = true;
    pause = limits.first;
    if (entry === successor) takeOver(entry);
    else if (wanted && leaving === null) replace();
  }

  function takeOver(entry: Entry): void {
    clearTimeout(entry.kill);
    leaving = current;
    [current, successor] = [entry, null];
    log.info(
      { pid: entry.child.pid, predecessor: leaving?.child.pid },
      "the successor serves; the older worker leaves",
    );
    if (leaving !== null) sendAway(leaving, leaving.stopMs + graceMs);
  }

  /** Asks it to go; after `ms` milliseconds it is killed. */
  function sendAway(entry: Entry, ms: number): void {
    const { pid } = entry.child;
    entry.leaves = true;
    entry.child.kill("SIGTERM");
    entry.kill = setTimeout(() => {
      log.error({ pid, within_ms: ms }, "the worker does not end in time and is killed");
      entry.child.kill("SIGKILL");
    }, ms);
  }

  function ended(entry: Entry, code: number): void {
    clearTimeout(entry.kill);
    alive.delete(entry);
    if (stopping) {
      // One that has never served had perhaps not come as far as to hear a signal.
      if (entry.served) worst = Math.max(worst, code);
      return alive.size === 0 ? done.resolve(worst) : undefined;
    }
    const about = { pid: entry.child.pid, code };
    if (entry === leaving) {
      leaving = null;
      log.info(about, "the older worker has ended");
    } else if (entry === successor) {
      successor = null;
      log.error(about, "the successor has ended before it served; the older worker goes on");
    } else return died(about);
    if (wanted) replace();
  }

  function died(about: { pid: number; code: number }): void {
    current = null;
    if (successor !== null && !successor.leaves) {
      clearTimeout(successor.kill);
      [current, successor] = [successor, null];
      return log.error(about, "the worker has ended by itself; its successor goes on");
    }
    // What can't be started at all is for the operator, not to be tried for ever.
    if (!hasServed) return done.resolve(about.code);
    log.error({ ...about, again_in_ms: pause }, "the worker has ended by itself; starting it again");
    startLater();
  }

  function startLater(): void {
    again = setTimeout(startAgain, pause);
    pause = Math.min(pause * 2, limits.most);
  }

  function startAgain(): void {
    try {
      current = launch(null);
      wanted = false;
    } catch (error) {
      log.error({ reason: reason(error), again_in_ms: pause }, "the worker can't be started; trying it again");
      startLater();
    }
  }

  function replace(): void {
    if (stopping) return;
    if (current === null) return log.info("the worker is about to be started again anyway");
    wanted = successor !== null || leaving !== null;
    if (wanted) return log.info("a worker is being replaced; the next one follows when the older one has ended");
    try {
      successor = launch(current.child.pid);
    } catch (error) {
      return log.error({ reason: reason(error) }, "the successor can't be started; the older worker goes on");
    }
    successor.kill = setTimeout(giveUp, readyMs, successor);
  }

  function giveUp(entry: Entry): void {
    if (entry !== successor) return;
    log.error({ pid: entry.child.pid, within_ms: readyMs }, "the successor does not serve in time and is ended");
    sendAway(entry, KILL_MS);
  }

  current = launch(null);
  return {
    replace,
    stop() {
      if (again !== null) clearTimeout(again);
      for (const { child, leaves } of alive) {
        if (stopping) child.kill("SIGKILL");
        else if (!leaves) child.kill("SIGTERM");
      }
      stopping = true;
      if (alive.size === 0) done.resolve(0);
    },
    done: done.promise,
  };
}
