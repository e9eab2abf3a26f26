/**
 * A transaction about circuits and what follows its commit, in one order for all: what was recorded is published, waits for
 * circuits that are gone end, and the log tells of each circuit that was changed. A circuit that was made is logged by who
 * made it, when a worker serves it.
 */
import type { Deps } from "../deps.ts";
import type { EndReason, Recorded } from "../store/recorded.ts";
import type { Caller, Query, Tx } from "../store/store.ts";
import { authorityOf } from "../store/workers.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import { callerLine, circuitLine } from "./circuit-line.ts";
import type { NodeRevisions } from "./node-revisions.ts";
import type { Publisher } from "./publisher.ts";

export interface Committed<T> {
  result: T;
  /**
   * Resolves when the nodes of the workers whose circuits have lost a kernel to another session know of it, some seconds
   * later at the latest; at once when there are none.
   */
  settled: () => Promise<void>;
}

/** Runs `work` in a transaction on behalf of a request, and does what follows. Rejects as `Store.transaction`. */
export type Commit = <T>(by: Caller, work: (tx: Tx) => T) => Promise<Committed<T>>;

interface Services {
  publisher: Pick<Publisher, "wake">;
  acknowledgements: Pick<Acknowledgements, "forget">;
  nodeRevisions: Pick<NodeRevisions, "settled">;
}

export function createCommit(
  { database, now, log }: Pick<Deps, "database" | "now" | "log">,
  { publisher, acknowledgements, nodeRevisions }: Services,
): Commit {
  return async (by, work) => {
    const { result, recorded, lines } = await database.transaction({ ...by, now }, (tx) => {
      const result = work(tx);
      return { result, recorded: tx.recorded, lines: linesOf(tx.recorded, tx.cause.now, authorities(tx)) };
    });
    if (recorded.length > 0) publisher.wake();
    for (const one of recorded)
      if (one.kind === "removed") acknowledgements.forget(one.row.id, one.why === "withdrawn" ? "late" : "superseded");
    for (const { level, about, text } of lines) log[level](about, text);
    return { result, settled: () => nodeRevisions.settled(recorded.filter(isReassigned)) };
  };
}

export interface Line {
  level: "info" | "warn";
  about: Record<string, unknown>;
  text: string;
}

/** What the log says of what was done at `now` (epoch milliseconds). Pure. */
export function linesOf(
  recorded: readonly Recorded[],
  now: number,
  authorityOf: (workerId: string) => string | undefined,
): Line[] {
  return recorded.flatMap((one): Line[] => {
    const text = textOf(one);
    if (text === null) return [];
    const { row, by } = one;
    const left = one.kind === "removed" || one.kind === "created" ? null : one.now;
    const about = {
      ...circuitLine(left ?? row, authorityOf((left ?? row).workerId)),
      ...callerLine(by),
      ...(one.kind === "updated" ? { routes: one.now.routeInfo.length } : {}),
      ...(one.kind === "removed" && one.why === "collected"
        ? { unused_for_s: Math.round((now - row.usedAt) / 1000) }
        : {}),
    };
    const isLoud = one.kind === "moved" && row.appMode === "inference";
    return [{ level: isLoud ? "warn" : "info", about, text }];
  });
}

// --- internal ---

const ENDED: Record<EndReason, string | null> = {
  deleted: "circuit deleted",
  "closed-by-user": "circuit closed by its user",
  collected: "circuit collected: nobody has used it",
  "endpoint-removed": "endpoint removed",
  // Who waited for it says so.
  withdrawn: null,
  "kernel-reassigned": "circuit closed: its kernel is another session's by now",
  "kernel-refuses": "circuit closed: its kernel is gone and refuses connections",
  "session-over": "circuit closed: the session is over",
  replaced: "circuit closed: the original has ended it",
};

/** Of a circuit that goes on with fewer routes, or others. */
const ROUTES: Partial<Record<EndReason | "routes-set", string>> = {
  "routes-set": "routes changed",
  "kernel-reassigned": "routes ended: their kernels are other sessions' by now",
  "kernel-refuses": "routes ended: their kernels are gone and refuse connections",
  "session-over": "routes ended: the session is over",
};

/** Null for what is not logged. */
function textOf(one: Recorded): string | null {
  switch (one.kind) {
    case "created":
      return null;
    case "removed":
      return ENDED[one.why];
    case "updated":
      if (one.why !== null) return ROUTES[one.why] ?? null;
      return one.row.appMode === "inference" ? "endpoint changed" : "circuit changed";
    case "moved":
      return one.row.appMode === "inference"
        ? "endpoint moved, with another URL: its worker or its slot is gone, or its port can't be opened"
        : "circuit moved: its worker or its slot is gone, or its port can't be opened";
  }
}

/** Looks a worker up once. */
function authorities(q: Query): (workerId: string) => string | undefined {
  const known = new Map<string, string | undefined>();
  return (workerId) => {
    if (!known.has(workerId)) known.set(workerId, authorityOf(q, workerId));
    return known.get(workerId);
  };
}

function isReassigned(one: Recorded): boolean {
  return (one.kind === "removed" || one.kind === "updated") && one.why === "kernel-reassigned";
}
