/**
 * Whether a worker serves a circuit as it is now: the wait after a commit that creation, reuse and endpoint calls share.
 * What no worker acknowledges in time is taken back, so that nothing is left behind.
 */
import { Failure, reason } from "../../shared/failure.ts";
import { within } from "../../shared/runtime/deadline.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Query } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import type { Commit } from "./commit.ts";
import type { Publisher } from "./publisher.ts";
import { getWorker, type WorkerRow } from "../store/workers.ts";
import { getCircuit } from "../store/circuit-queries.ts";
import * as store from "../store/circuits.ts";

/** A circuit as a request has found or made it. */
export interface Found {
  row: store.CircuitRow;
  worker: WorkerRow;
  reuse: boolean;
  /** What this request has done to it; the event of a change is on its way with the commit. */
  state: "new" | "rerouted" | "replaced" | "as before";
}

/**
 * `superseded`: it was moved, changed or removed meanwhile. `late`: no worker said that it serves it. `refused`: its worker
 * said that it can't.
 */
export type Served = "served" | "superseded" | "late" | "refused";

export interface Serving {
  /** Waits until a worker serves the circuit as found. One that is late is taken back, unless it served before. */
  wait(found: Found, requestId: string | null): Promise<Served>;
  /** Takes a circuit back that nobody can serve, unless it was served before or was changed meanwhile. */
  takeBack(row: store.CircuitRow, requestId: string | null): Promise<void>;
  /** Resolves when the circuits' workers do as these rows say, a second later at the latest: who is late does so soon. */
  applied(rows: readonly store.CircuitRow[]): Promise<void>;
  /** Does not try again what could not be taken back. */
  stop(): void;
}

interface Services {
  publisher: Publisher;
  acknowledgements: Acknowledgements;
  commit: Commit;
}

const SETTLE_MS = 1000;
/** Between two tries to take back what could not be taken back. Milliseconds. */
const RETRY_MS = 500;

export function createServing(
  { database, log, bus }: Deps,
  { publisher, acknowledgements, commit }: Services,
): Serving {
  async function wait({ row, worker, state }: Found, requestId: string | null): Promise<Served> {
    // An old worker's acknowledgement names no revision: one of a moment ago may be of what this replaces.
    if (state !== "replaced" && acknowledgements.has(row)) return "served";
    // The original's workers acknowledge what is new to them, and no change of routes.
    if (worker.isOriginal && (state === "rerouted" || (state === "as before" && acknowledgements.everServed(row))))
      return "served";
    if (state === "replaced" || (state === "as before" && !isAwaited(row))) {
      // Perhaps changed before a restart and never acknowledged: its event may be long gone.
      publisher.repeat(store.toCircuit(row), worker.authority, requestId).catch(() => publisher.wake());
    }
    const outcome = await acknowledgements.wait(row);
    if (outcome === "superseded") return "superseded";
    // Removed while its acknowledgement was on its way: there is nothing to send anybody to.
    if (outcome === "acknowledged") return (await isStillAt(row)) ? "served" : "superseded";
    if (outcome === "late") await takeBack(row, requestId);
    // Acknowledged at the last moment, it was not; or another node can what one could not.
    if (await isServed(row.id)) return "served";
    if (outcome === "refused") return "refused";
    log.warn(
      {
        circuit: row.id,
        worker: worker.authority,
        origin_request_id: row.originRequestId,
        events: bus.healthy() ? "connected" : "away",
      },
      "no worker acknowledged the circuit; it is taken back unless it served before",
    );
    return "late";
  }

  function isStillAt({ id, workerId }: store.CircuitRow): Promise<boolean> {
    return database.read((q) => getCircuit(q, id)?.workerId === workerId);
  }

  /** As it is now. Memory and database are asked together: an acknowledgement goes from one to the other. */
  function isServed(id: string): Promise<boolean> {
    return database.read((q) => {
      const row = getCircuit(q, id);
      return row !== undefined && acknowledgements.has(row);
    });
  }

  function isAwaited({ id, workerId, revision }: store.CircuitRow): boolean {
    const awaited = acknowledgements.awaitedRow(id);
    return awaited?.workerId === workerId && awaited.revision === revision;
  }

  /** Circuits that are to be taken back with the next commit: thousands of a call are late together. */
  let late: Late[] = [];
  let takingBack: Promise<void> | null = null;
  /** Those that could not be taken back. */
  let left: Late[] = [];
  let retry: ReturnType<typeof setTimeout> | null = null;
  let isStopped = false;

  function takeBack(row: store.CircuitRow, requestId: string | null): Promise<void> {
    late.push({ row, requestId });
    return (takingBack ??= Bun.sleep(0).then(takeAllBack));
  }

  async function takeAllBack(): Promise<void> {
    const all = late;
    late = [];
    takingBack = null;
    try {
      await withdraw(all);
    } catch (error) {
      log.warn({ circuits: all.length, reason: reason(error) }, "cannot take circuits back; trying until it works");
      tryAgain(all);
      throw error;
    }
  }

  /** Whoever asked has heard of the failure; what is left behind must go all the same. */
  function tryAgain(all: readonly Late[]): void {
    left = left.concat(all);
    if (!isStopped && left.length > 0) retry ??= setTimeout(() => void withdrawLeft(), RETRY_MS);
  }

  async function withdrawLeft(): Promise<void> {
    retry = null;
    // Where somebody waits anew, it is served, or late once more.
    const { waited = [], free = [] } = Object.groupBy(left, ({ row }) => (isAwaited(row) ? "waited" : "free"));
    left = [];
    try {
      await withdraw(free);
      tryAgain(waited);
    } catch (error) {
      log.debug({ circuits: free.length, reason: reason(error) }, "cannot take circuits back yet");
      tryAgain([...waited, ...free]);
    }
  }

  /** Forgets those that never served, unless they were moved, changed or acknowledged meanwhile. */
  async function withdraw(all: readonly Late[]): Promise<void> {
    await commit(null, (tx) => {
      for (const { row: given, requestId } of all) {
        const row = getCircuit(tx, given.id);
        if (row?.workerId !== given.workerId || row.revision !== given.revision) continue;
        if (!acknowledgements.everServed(row)) store.removeCircuit(tx.onBehalfOf(requestId), row, "withdrawn");
      }
    });
  }

  async function applied(rows: readonly store.CircuitRow[]): Promise<void> {
    const awaited = rows.length === 0 ? [] : await database.read((q) => rows.filter(answersTo(q)));
    if (awaited.length === 0) return;
    const end = performance.now() + SETTLE_MS;
    await within(SETTLE_MS, Promise.all(awaited.map((row) => follow(row, end))));
  }

  /** Resolves when the worker does as this row says, or as a newer one that another call has made of it. */
  async function follow(row: store.CircuitRow, end: number): Promise<void> {
    for (let state: store.CircuitRow | undefined = row; state !== undefined && performance.now() < end;) {
      if (acknowledgements.has(state) || (await acknowledgements.wait(state, true)) !== "superseded") return;
      state = await database.read((q) => getCircuit(q, row.id));
    }
  }

  return {
    wait,
    takeBack,
    applied,
    stop() {
      isStopped = true;
      if (retry !== null) clearTimeout(retry);
    },
  };
}

/** No worker has said in time that it serves a circuit. */
export function notResponding(): Failure {
  return new Failure("service-unavailable", "E10001: Proxy worker not responding");
}

/** The worker of a circuit; the database holds no circuit without one. */
export function mustFind(q: Query, workerId: string): WorkerRow {
  const row = getWorker(q, workerId);
  if (row === undefined) throw new Failure("internal-server-error", "The circuit's worker is not recorded");
  return row;
}

/** Whether a circuit's slot is still one of its worker, which may have come back with another range or mode. */
export function fits({ frontendMode, port }: store.CircuitRow, worker: WorkerRow): boolean {
  if (frontendMode !== worker.frontendMode) return false;
  return port === null || (port >= (worker.portLow ?? 0) && port <= (worker.portHigh ?? 0));
}

// --- internal ---

interface Late {
  row: store.CircuitRow;
  /** That which waited for it. */
  requestId: string | null;
}

/** Tells of rows whose worker is alive and says when it has changed a circuit. */
function answersTo(q: Query): (row: store.CircuitRow) => boolean {
  const known = new Map<string, boolean>();
  return ({ workerId }) => {
    const answers = known.get(workerId) ?? isAttentive(getWorker(q, workerId));
    known.set(workerId, answers);
    return answers;
  };
}

function isAttentive(worker: WorkerRow | undefined): boolean {
  return worker?.status === "ALIVE" && !worker.isOriginal;
}
