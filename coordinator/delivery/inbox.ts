/** What comes in by the events' bus: acknowledgements, refusals, other coordinators' removals; and asking for what did not come. */
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { reason } from "../../shared/failure.ts";
import type { Deps } from "../deps.ts";
import { getCircuit, wasWithdrawn } from "../store/circuit-queries.ts";
import { toCircuit } from "../store/circuits.ts";
import { getWorker } from "../store/workers.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Publisher } from "./publisher.ts";

interface RefusalSink {
  hear(event: Extract<AppProxyEvent, { name: "appproxy_worker_circuit_refused_event" }>): void;
}

/** What workers and other coordinators say. `refusals` is told of those that can't serve a circuit. */
export function hear(
  event: AppProxyEvent,
  { database: { db } }: Deps,
  { acknowledgements, refusals }: { acknowledgements: Acknowledgements; refusals: RefusalSink },
): void {
  if (event.name === "appproxy_worker_circuit_refused_event") refusals.hear(event);
  if (event.name === "appproxy_worker_circuit_added_event") acknowledgements.receive(event);
  if (event.name !== "appproxy_circuit_removed_event") return;
  // Another coordinator may have moved or removed what is waited for here.
  for (const { id } of event.payload.circuits) {
    const waited = acknowledgements.awaitedRow(id);
    const row = getCircuit(db, id);
    if (waited === undefined || row?.workerId === waited.workerId) continue;
    // What was taken back there must not be called made here.
    const isTakenBack = row === undefined && wasWithdrawn(db, waited.workerId, id);
    acknowledgements.forget(id, isTakenBack ? "late" : "superseded");
  }
}

/** Events or acknowledgements may have been lost: workers are told of the circuits that are waited for once more. */
export function askAgain(
  { database: { db }, log }: Deps,
  publisher: Publisher,
  waited: readonly string[],
  whom: "all" | "ours" = "all",
): void {
  if (waited.length > 0 || whom === "all") publisher.kick();
  for (const id of waited) {
    // As it is now: another request may have changed it since the wait began.
    const row = getCircuit(db, id);
    const worker = row === undefined ? undefined : getWorker(db, row.workerId);
    // The original's worker may still be at it: it makes a circuit anew that it is told of twice.
    if (row === undefined || worker === undefined || (whom === "ours" && worker.isOriginal)) continue;
    publisher.repeat(toCircuit(row), worker.authority, row.originRequestId).catch((error: unknown) => {
      log.debug({ circuit: row.id, reason: reason(error) }, "cannot ask for an acknowledgement again");
    });
  }
}
