/**
 * The start while the coordinator is away: what was served before is served again, until the coordinator says what has
 * changed. Once, when it can't be reached, or says nothing for some seconds.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import type { Replica } from "./replica/replica.ts";

export interface RestoreDeps {
  replica: Replica;
  log: Log;
  /** Circuits that were saved before; null when there are none. */
  saved: () => WorkerCircuits | null;
}

export interface Restore {
  /** From now on a coordinator that says nothing for some seconds counts as away. */
  start(): void;
  /** The coordinator is away. Does nothing after the first time, and when the circuits are known. */
  away(): Promise<void>;
  stop(): void;
}

/** A coordinator that says nothing for so long at the start is away. Milliseconds. */
const PATIENCE_MS = 3000;

export function createRestore({ replica, log, saved: load }: RestoreDeps): Restore {
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  void replica.ready.then(() => (isOver = true));

  async function away(): Promise<void> {
    if (isOver) return;
    isOver = true;
    const saved = load();
    if (saved === null) return;
    log.warn(
      { circuits: saved.circuits.length, revision: saved.revision },
      "the coordinator is away: serving the circuits that were saved",
    );
    await replica.restore(saved);
  }

  return {
    start() {
      timer = setTimeout(() => {
        away().catch((error: unknown) => log.error({ reason: reason(error) }, "cannot serve the saved circuits"));
      }, PATIENCE_MS);
    },
    away,
    stop() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}
