/**
 * Whether a worker serves a circuit as it is now: the wait after a commit that creation, reuse and endpoint calls share.
 * What no worker acknowledges in time is taken back, so that nothing is left behind.
 */
import { Failure, reason } from "../../shared/failure.ts";
import { standsUnder } from "../../shared/http/host.ts";
import { within } from "../../shared/runtime/deadline.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Caller, Query } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import type { Commit } from "./commit.ts";
import type { Publisher } from "./publisher.ts";
import { getWorker, type WorkerRow } from "../store/workers.ts";
import { getCircuit } from "../store/circuit-queries.ts";
import * as store from "../store/circuits.ts";
import { afterWaiting, beforeWaiting, type Confirmation, type State } from "./confirm-table.ts";
import { createWithdrawals, type Withdrawals } from "./withdrawals.ts";
import { callerLine, circuitLine } from "./circuit-line.ts";

/** A circuit as a request has found or made it. */
export interface Found {
  row: store.CircuitRow;
  worker: WorkerRow;
  reuse: boolean;
  /** What this request has done to it. */
  state: State;
}

export interface Confirmations extends Withdrawals {
  /** Waits until a worker serves the circuit as found. One that is late is taken back, unless it served before. */
  wait(found: Found, by: Caller): Promise<Confirmation>;
  /**
   * Resolves when the circuits' workers do as these rows say, a second later at the latest: who is late does so soon. Never
   * rejects.
   */
  applied(rows: readonly store.CircuitRow[]): Promise<void>;
}

interface Services {
  publisher: Publisher;
  acknowledgements: Acknowledgements;
  commit: Commit;
}

const SETTLE_MS = 1000;

export function createConfirmations(
  { database, log, bus }: Deps,
  { publisher, acknowledgements, commit }: Services,
): Confirmations {
  const withdrawals = createWithdrawals({ log }, { acknowledgements, commit });

  async function wait({ row, worker, state }: Found, by: Caller): Promise<Confirmation> {
    const first = beforeWaiting({
      state,
      isOriginal: worker.isOriginal,
      isAcknowledged: acknowledgements.has(row),
      everServed: acknowledgements.everServed(row),
      isAwaited: acknowledgements.isAwaited(row),
    });
    if (first === "served") return "served";
    if (first === "publish and wait")
      publisher.repeat(store.toCircuit(row), worker.authority, by.requestId).catch(() => publisher.wake());
    const heard = await acknowledgements.wait(row);
    if (heard === "late") await withdrawals.takeBack(row, by);
    // Another coordinator may have made it, and takes it back unless the database says that it served.
    if (heard === "acknowledged" && state === "as before") await acknowledgements.noted(row.id);
    const confirmation = afterWaiting(heard, await stateNow(row));
    if (confirmation === "late")
      log.warn(
        {
          ...circuitLine(row, worker.authority),
          ...callerLine(by),
          events: bus.healthy() ? "connected" : "away",
        },
        "no worker acknowledged the circuit; it is taken back unless it served before",
      );
    return confirmation;
  }

  /** Memory and database are asked together: an acknowledgement goes from one to the other. */
  function stateNow({ id, workerId }: store.CircuitRow): Promise<Parameters<typeof afterWaiting>[1]> {
    return database.read((q) => {
      const row = getCircuit(q, id);
      return {
        isThere: row?.workerId === workerId,
        isAcknowledged: row !== undefined && acknowledgements.has(row),
      };
    });
  }

  async function applied(rows: readonly store.CircuitRow[]): Promise<void> {
    if (rows.length === 0) return;
    try {
      const awaited = await database.read((q) => rows.filter(answersTo(q)));
      const end = performance.now() + SETTLE_MS;
      await within(SETTLE_MS, Promise.all(awaited.map((row) => follow(row, end))));
    } catch (error) {
      // It is done already; only the certainty is missing.
      log.warn(
        { circuits: rows.length, reason: reason(error) },
        "cannot find out whether workers have applied a change",
      );
    }
  }

  /** Resolves when the worker does as this row says, or as a newer one that another call has made of it. */
  async function follow(row: store.CircuitRow, end: number): Promise<void> {
    for (let state: store.CircuitRow | undefined = row; state !== undefined && performance.now() < end;) {
      if (acknowledgements.has(state) || (await acknowledgements.wait(state, true)) !== "superseded") return;
      state = await database.read((q) => getCircuit(q, row.id));
    }
  }

  return { ...withdrawals, wait, applied };
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

/** Whether a circuit's slot is still one of its worker, which may have come back with another range, mode or domain. */
export function fits({ frontendMode, port, subdomain }: store.CircuitRow, worker: WorkerRow): boolean {
  if (frontendMode !== worker.frontendMode) return false;
  if (subdomain !== null && !standsUnder(subdomain, worker.wildcardDomain ?? "")) return false;
  return port === null || (port >= (worker.portLow ?? 0) && port <= (worker.portHigh ?? 0));
}

// --- internal ---

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
