/**
 * Takes circuits back that no worker serves, so that nothing is left behind of a request that fails: all of one moment in
 * one commit, and again until it works.
 */
import { reason } from "../../shared/failure.ts";
import type { Deps } from "../deps.ts";
import { getCircuit } from "../store/circuit-queries.ts";
import { removeCircuit, type CircuitRow } from "../store/circuits.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Commit } from "./commit.ts";
import { type Caller, ITSELF } from "../store/store.ts";

export interface Withdrawals {
  /**
   * Forgets a circuit that never served, unless it was moved, changed or acknowledged meanwhile. Rejects when that can't
   * be written; it is tried again then until it can.
   */
  takeBack(row: CircuitRow, by: Caller): Promise<void>;
  /** Does not try again what could not be taken back. */
  stop(): void;
}

/** Between two tries to take back what could not be taken back. Milliseconds. */
const RETRY_MS = 500;

interface Late {
  row: CircuitRow;
  /** That which waited for it. */
  by: Caller;
}

export function createWithdrawals(
  { log }: Pick<Deps, "log">,
  { acknowledgements, commit }: { acknowledgements: Acknowledgements; commit: Commit },
): Withdrawals {
  /** Circuits that are to be taken back with the next commit: thousands of a call are late together. */
  let late: Late[] = [];
  let takingBack: Promise<void> | null = null;
  /** Those that could not be taken back. */
  let left: Late[] = [];
  let retry: ReturnType<typeof setTimeout> | null = null;
  let isStopped = false;

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
    const { waited = [], free = [] } = Object.groupBy(left, ({ row }) =>
      acknowledgements.isAwaited(row) ? "waited" : "free",
    );
    left = [];
    try {
      await withdraw(free);
      tryAgain(waited);
    } catch (error) {
      log.debug({ circuits: free.length, reason: reason(error) }, "cannot take circuits back yet");
      tryAgain([...waited, ...free]);
    }
  }

  async function withdraw(all: readonly Late[]): Promise<void> {
    await commit(ITSELF, (tx) => {
      for (const { row: given, by } of all) {
        const row = getCircuit(tx, given.id);
        if (row?.workerId !== given.workerId || row.revision !== given.revision) continue;
        if (!acknowledgements.everServed(row)) removeCircuit(tx.onBehalfOf(by), row, "withdrawn");
      }
    });
  }

  return {
    takeBack(row, by) {
      late.push({ row, by });
      return (takingBack ??= Bun.sleep(0).then(takeAllBack));
    },
    stop() {
      isStopped = true;
      if (retry !== null) clearTimeout(retry);
    },
  };
}
