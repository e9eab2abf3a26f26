/**
 * One process of a worker that has several (`proxy_worker.processes`), as it sees itself: which it is, and what it says to the
 * supervisor that has started it. Made by run.ts; nothing is sent before somebody asks.
 */
import { within } from "../../shared/runtime/deadline.ts";
import { type Figures, fromSupervisor, type ToSupervisor } from "./messages.ts";

/** The environment variable with which a supervisor tells a process which of how many it is: `2/4`. */
export const LANE = "APP_PROXY_LANE";

export interface LanePlace {
  /** From 1. */
  number: number;
  count: number;
}

export interface Lane extends LanePlace {
  /** Asks to be replaced by a new process, when it is this one's turn. */
  replace(): void;
  /** What `report` gives in all processes of the worker; null when that can't be had in time. */
  gather(): Promise<readonly Figures[] | null>;
  /** What is told to another process that gathers. */
  report(figures: () => Promise<Figures>): void;
  /** Calls `act` each time another process has ended; gives what ends that. */
  onEnd(act: () => void): () => void;
}

/** The line to the supervisor. */
export interface Line {
  send(message: ToSupervisor): void;
  heard(act: (message: unknown) => void): void;
}

/**
 * Of a limit for the whole worker the part of one process: the kernel spreads connections evenly. Together they let in no more,
 * but for what is rounded up; each at least one.
 */
export function shareOf(limit: number, lane: LanePlace | null): number {
  return lane === null ? limit : Math.ceil(limit / lane.count);
}

/** Which process of how many this one is, as a supervisor says; null when it is the only one. */
export function lanePlace(env: Record<string, string | undefined>): LanePlace | null {
  const [, number, count] = /^(\d+)\/(\d+)$/.exec(env[LANE] ?? "") ?? [];
  return number === undefined ? null : { number: Number(number), count: Number(count) };
}

/** The line of this process; what is said when nobody is there any more is lost. */
export function ownLine(): Line {
  return {
    send: (message) => void (process.connected && process.send?.(message)),
    heard: (act) => void process.on("message", act),
  };
}

export function createLane(place: LanePlace, line: Line): Lane {
  const ends = new Set<() => void>();
  const asked = new Map<number, (all: readonly Figures[]) => void>();
  let report: () => Promise<Figures> = () => Promise.resolve([]);
  let questions = 0;

  line.heard((heard) => {
    const message = fromSupervisor(heard);
    if (message === null) return;
    switch (message.lane) {
      case "ended":
        return ends.forEach((act) => act());
      case "report":
        return void report().then(
          (figures) => line.send({ lane: "reported", id: message.id, figures }),
          // Who gathers goes on without it.
          () => undefined,
        );
      case "figures":
        return asked.get(message.id)?.(message.all);
    }
  });

  return {
    ...place,
    replace: () => line.send({ lane: "replace" }),
    async gather() {
      const id = ++questions;
      const { promise, resolve } = Promise.withResolvers<readonly Figures[]>();
      asked.set(id, resolve);
      line.send({ lane: "gather", id });
      const all = await within(GATHER_MS, promise);
      asked.delete(id);
      return all ?? null;
    },
    report: (figures) => void (report = figures),
    onEnd(act) {
      ends.add(act);
      return () => void ends.delete(act);
    },
  };
}

// --- internal ---

/** Longer than the supervisor waits for a process that says nothing. */
const GATHER_MS = 3000;
