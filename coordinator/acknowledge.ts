/**
 * Waits for workers to say that they serve a circuit. One wait per circuit however many requests share it;
 * acknowledgements are noted in the database together, shortly after.
 */
import type { CircuitAdded } from "../shared/bus/events.ts";
import { markAcknowledged, type CircuitRow } from "./circuits/store.ts";
import type { Deps } from "./deps.ts";

export interface Acknowledgements {
  /** True when a worker has acknowledged the circuit. */
  has(row: CircuitRow): boolean;
  /** Resolves true at the acknowledgement, false after `circuit_ack_timeout` or at a stop. */
  wait(row: CircuitRow): Promise<boolean>;
  /** True while someone waits for it. */
  awaited(circuitId: string): boolean;
  /** Takes a worker's event. */
  receive(event: CircuitAdded): void;
  stop(): void;
}

const NOTE_AFTER_MS = 50;

interface Wait {
  workerId: string;
  promise: Promise<boolean>;
  settle: (acknowledged: boolean) => void;
}

export function createAcknowledgements({ config, database, now }: Deps): Acknowledgements {
  const waiting = new Map<string, Wait>();
  /** Circuit id → id of the worker that acknowledged it: after a move the old worker's word counts for nothing. */
  const unnoted = new Map<string, string>();
  let noteTimer: ReturnType<typeof setTimeout> | null = null;

  function note(): void {
    if (noteTimer !== null) clearTimeout(noteTimer);
    noteTimer = null;
    markAcknowledged(database.db, unnoted, now());
    unnoted.clear();
  }

  return {
    has: (row) => row.acknowledgedAt !== null || unnoted.get(row.id) === row.workerId,
    awaited: (id) => waiting.has(id),
    wait({ id, workerId }) {
      const known = waiting.get(id);
      if (known !== undefined) return known.promise;
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const timer = setTimeout(() => settle(false), config.proxy_coordinator.circuit_ack_timeout * 1000);
      const settle = (acknowledged: boolean) => {
        clearTimeout(timer);
        waiting.delete(id);
        resolve(acknowledged);
      };
      waiting.set(id, { workerId, promise, settle });
      return promise;
    },
    receive(event) {
      for (const { id, worker } of event.payload.circuits) {
        unnoted.set(id, worker);
        const wait = waiting.get(id);
        if (wait?.workerId === worker) wait.settle(true);
      }
      noteTimer ??= setTimeout(note, NOTE_AFTER_MS);
    },
    stop() {
      for (const { settle } of waiting.values()) settle(false);
      note();
    },
  };
}
