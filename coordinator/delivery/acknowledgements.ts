/**
 * Waits for workers to say that they serve a circuit as it is now. One wait per state of a circuit however many
 * requests share it; acknowledgements are noted in the database together, shortly after.
 */
import type { CircuitAdded } from "../../shared/protocol/events.ts";
import { Failure, reason } from "../../shared/failure.ts";
import { Later } from "../../shared/runtime/later.ts";
import { markAcknowledged, type CircuitRow } from "../store/circuits.ts";
import type { Deps } from "../deps.ts";
import { ITSELF } from "../store/store.ts";

/** Which state of a circuit a worker has acknowledged. The original's workers name no revision: any. */
export interface Acknowledged {
  workerId: string;
  revision: number | null;
}

/**
 * `superseded`: the circuit was moved or changed meanwhile, and another wait is for that. `refused`: its worker has said that
 * it can't serve it.
 */
export type Outcome = "acknowledged" | "late" | "superseded" | "refused";

export interface Acknowledgements {
  /** True when a worker has acknowledged this state of the circuit. */
  has(row: CircuitRow): boolean;
  /**
   * Resolves at the acknowledgement, after `circuit_ack_timeout`, at a newer wait for the circuit, or at a stop. Who waits
   * only for a moment (`isBrief`) has no worker asked again.
   */
  wait(row: CircuitRow, isBrief?: boolean): Promise<Outcome>;
  /** True when a worker has served the circuit in any state: people may be using it. */
  everServed(row: CircuitRow): boolean;
  /** Ends the wait for a circuit that is gone. Its waiters look anew, or hear that no worker serves it. */
  forget(circuitId: string, outcome?: Exclude<Outcome, "acknowledged">): void;
  /**
   * Resolves when what was acknowledged of the circuit is in the database, where other coordinators look before they take it
   * back. Rejects when it can't be noted.
   */
  noted(circuitId: string): Promise<void>;
  /** True when somebody waits for the circuit as it is. */
  isAwaited(row: CircuitRow): boolean;
  /** The state of a circuit that someone waits for. */
  awaitedRow(circuitId: string): CircuitRow | undefined;
  /** The states of circuits at a worker that someone waits for. */
  awaitedAt(workerId: string): CircuitRow[];
  /** The circuits of which somebody waits for word. */
  pending(): string[];
  /** Those of them that are waited for longer than usual: each after 1.5 s, 3 s, 6 s and so on. */
  due(): string[];
  /** Takes a worker's event. */
  receive(event: CircuitAdded): void;
  /** Ends all waits, and resolves when what was acknowledged is noted, or can't be. */
  stop(): Promise<void>;
}

/** An acknowledgement that is so late was lost, or what it is of. Milliseconds; a worker takes a few. */
const ASK_AGAIN_MS = 1500;
const NOTE_AFTER_MS = 50;
const RETRY_MS = 500;

interface Wait {
  row: CircuitRow;
  isBrief: boolean;
  /** When its worker is asked again, and the pause after that; performance.now() milliseconds. */
  askAt: number;
  pause: number;
  promise: Promise<Outcome>;
  settle: (outcome: Outcome) => void;
}

export function createAcknowledgements({ config, database, now, log }: Deps): Acknowledgements {
  const waiting = new Map<string, Wait>();
  /** What the database does not know yet. */
  const unnoted = new Map<string, Acknowledged>();
  const notes = new Later({ work: note, isDue: () => unnoted.size > 0, afterMs: NOTE_AFTER_MS, retryMs: RETRY_MS });
  let noting: Promise<boolean> | null = null;
  let stopped = false;

  async function note(): Promise<boolean> {
    const all = new Map(unnoted);
    try {
      await database.transaction({ ...ITSELF, now }, (tx) => markAcknowledged(tx, all));
      // Who has read a circuit just before the commit looks here within this turn.
      await Bun.sleep(0);
      for (const [id, noted] of all) if (unnoted.get(id) === noted) unnoted.delete(id);
      return true;
    } catch (error) {
      // The disk may be full, or the database locked. Until it is noted it counts from memory: what people use must not be
      // taken back.
      log.warn({ reason: reason(error) }, "cannot note acknowledgements; trying again");
      return false;
    }
  }

  /** Many that are acknowledged at once are noted at once. */
  function noteTogether(): Promise<boolean> {
    return (noting ??= Bun.sleep(0)
      .then(note)
      .finally(() => (noting = null)));
  }

  function begin(row: CircuitRow, isBrief: boolean): Wait {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const timer = setTimeout(() => settle("late"), config.proxy_coordinator.circuit_ack_timeout * 1000);
    const settle = (outcome: Outcome) => {
      clearTimeout(timer);
      if (waiting.get(row.id)?.promise === promise) waiting.delete(row.id);
      resolve(outcome);
    };
    return { row, isBrief, askAt: performance.now() + ASK_AGAIN_MS, pause: ASK_AGAIN_MS, promise, settle };
  }

  function asking(): Wait[] {
    return [...waiting.values()].filter(({ isBrief }) => !isBrief);
  }

  function has(row: CircuitRow): boolean {
    const acknowledged = unnoted.get(row.id);
    if ((row.acknowledgedRevision ?? -1) >= row.revision) return true;
    return acknowledged !== undefined && covers(acknowledged, row);
  }

  return {
    has,
    everServed: (row) => row.acknowledgedAt !== null || unnoted.get(row.id)?.workerId === row.workerId,
    forget: (id, outcome = "superseded") => waiting.get(id)?.settle(outcome),
    async noted(id) {
      // What is being noted when it comes may be without it.
      while (unnoted.has(id))
        if (!(await noteTogether()))
          throw new Failure("service-unavailable", "The database takes no writes; try again");
    },
    isAwaited: (row) => isSame(waiting.get(row.id)?.row, row),
    awaitedRow: (id) => waiting.get(id)?.row,
    awaitedAt: (workerId) => [...waiting.values()].flatMap(({ row }) => (row.workerId === workerId ? [row] : [])),
    wait(row, isBrief = false) {
      if (stopped) return Promise.resolve("late");
      const known = waiting.get(row.id);
      if (known !== undefined && isSame(known.row, row)) {
        known.isBrief &&= isBrief;
        return known.promise;
      }
      const fresh = begin(row, isBrief);
      waiting.set(row.id, fresh);
      known?.settle("superseded");
      return fresh.promise;
    },
    pending: () => asking().map(({ row }) => row.id),
    due() {
      const late = asking().filter(({ askAt }) => askAt <= performance.now());
      for (const one of late) one.askAt = performance.now() + (one.pause *= 2);
      return late.map(({ row }) => row.id);
    },
    receive(event) {
      if (stopped) return;
      for (const { id, worker, revision } of event.payload.circuits) {
        const acknowledged = { workerId: worker, revision: revision ?? null };
        unnoted.set(id, newer(unnoted.get(id), acknowledged));
        const wait = waiting.get(id);
        if (wait !== undefined && covers(acknowledged, wait.row)) wait.settle("acknowledged");
      }
      notes.soon();
    },
    async stop() {
      stopped = true;
      for (const { settle } of waiting.values()) settle("late");
      await notes.stop();
    },
  };
}

// --- internal ---

function covers({ workerId, revision }: Acknowledged, row: CircuitRow): boolean {
  return workerId === row.workerId && (revision === null || revision >= row.revision);
}

/** Of two nodes of one worker the slower one may speak last. */
function newer(known: Acknowledged | undefined, heard: Acknowledged): Acknowledged {
  if (known?.workerId !== heard.workerId || known.revision === null || heard.revision === null) return heard;
  return known.revision > heard.revision ? known : heard;
}

function isSame(a: CircuitRow | undefined, b: CircuitRow): boolean {
  return a !== undefined && a.workerId === b.workerId && a.revision === b.revision;
}
