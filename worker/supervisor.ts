/**
 * Keeps one worker process running, and replaces it without a gap: a second one is started beside it on the same ports,
 * and only when that serves is the first asked to stop. Processes, clock and log are handed in by supervise.ts.
 */
import type { Log } from "../shared/log.ts";

/** A worker's process. */
export interface Child {
  readonly pid: number;
  /** Resolves when it says that it serves; never, when it does not. */
  ready: Promise<void>;
  /** Its exit code. */
  exited: Promise<number>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface SupervisorDeps {
  start: () => Child;
  log: Log;
  /** How long a successor may take until it serves. Milliseconds. */
  readyMs: number;
  /** Before a worker that has died is started again: doubled each time until one serves. Milliseconds. */
  pause?: { first: number; most: number };
}

export interface Supervisor {
  /** Starts a successor, which takes over when it serves. One after the other: asked meanwhile, it is done later. */
  replace(): void;
  /** Ends all. */
  stop(): void;
  /** Resolves with the exit code when all have ended: after `stop`, or when the first one could not start. */
  done: Promise<number>;
}

const PAUSE = { first: 1000, most: 30_000 };
/** A successor that did not become ready, and does not go when it is asked. Milliseconds. */
const KILL_MS = 10_000;

export function startSupervisor({ start, log, readyMs, pause: limits = PAUSE }: SupervisorDeps): Supervisor {
  const alive = new Set<Child>();
  /** Null while it waits to be started again. */
  let current: Child | null = null;
  let successor: Child | null = null;
  let leaving: Child | null = null;
  let wanted = false;
  let hasServed = false;
  let stopping = false;
  let pause = limits.first;
  let again: ReturnType<typeof setTimeout> | null = null;
  let worst = 0;
  const done = Promise.withResolvers<number>();

  function launch(): Child {
    const child = start();
    alive.add(child);
    log.info({ pid: child.pid }, "worker started");
    void child.ready.then(() => {
      hasServed = true;
      pause = limits.first;
      if (child === successor) takeOver(child);
    });
    void child.exited.then((code) => ended(child, code));
    return child;
  }

  function takeOver(child: Child): void {
    leaving = current;
    [current, successor] = [child, null];
    log.info({ pid: child.pid, predecessor: leaving?.pid }, "the successor serves; the older worker leaves");
    if (!stopping) leaving?.kill("SIGTERM");
  }

  function ended(child: Child, code: number): void {
    alive.delete(child);
    if (stopping) {
      worst = Math.max(worst, code);
      return alive.size === 0 ? done.resolve(worst) : undefined;
    }
    const about = { pid: child.pid, code };
    if (child === leaving) {
      leaving = null;
      log.info(about, "the older worker has ended");
    } else if (child === successor) {
      successor = null;
      log.error(about, "the successor has ended before it served; the older worker goes on");
    } else return died(about);
    if (wanted) replace();
  }

  function died(about: { pid: number; code: number }): void {
    current = null;
    // What can't be started at all is for the operator, not to be tried for ever.
    if (!hasServed && successor === null) return done.resolve(about.code);
    if (successor !== null) {
      [current, successor] = [successor, null];
      return log.error(about, "the worker has ended by itself; its successor goes on");
    }
    log.error({ ...about, again_in_ms: pause }, "the worker has ended by itself; starting it again");
    again = setTimeout(() => (current = launch()), pause);
    pause = Math.min(pause * 2, limits.most);
  }

  function replace(): void {
    if (stopping) return;
    if (current === null) return log.info("the worker is about to be started again anyway");
    wanted = successor !== null || leaving !== null;
    if (wanted) return log.info("a worker is being replaced; the next one follows when the older one has ended");
    const child = (successor = launch());
    const giveUp = () => {
      if (child !== successor) return;
      log.error({ pid: child.pid, within_ms: readyMs }, "the successor does not serve in time and is ended");
      child.kill("SIGTERM");
      kill = setTimeout(() => child.kill("SIGKILL"), KILL_MS);
    };
    let kill = setTimeout(giveUp, readyMs);
    void child.exited.then(() => clearTimeout(kill));
  }

  current = launch();
  return {
    replace,
    stop() {
      stopping = true;
      if (again !== null) clearTimeout(again);
      for (const child of alive) child.kill("SIGTERM");
      if (alive.size === 0) done.resolve(0);
    },
    done: done.promise,
  };
}
