/** What comes in by the events' bus: acknowledgements, refusals, other coordinators' removals; and asking for what did not come. */
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { reason } from "../../shared/failure.ts";
import type { Deps } from "../deps.ts";
import { getCircuit, wasWithdrawn } from "../store/circuit-queries.ts";
import { toCircuit, type CircuitRow } from "../store/circuits.ts";
import type { Query } from "../store/store.ts";
import { getWorker, type WorkerRow } from "../store/workers.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Publisher } from "./publisher.ts";

type Said = Extract<
  AppProxyEvent,
  { name: "appproxy_worker_circuit_refused_event" | "appproxy_worker_circuit_added_event" }
>;

interface RefusalSink {
  hear(event: Extract<AppProxyEvent, { name: "appproxy_worker_circuit_refused_event" }>): Promise<void>;
}

/** What workers and other coordinators say. `refusals` is told of those that can't serve a circuit. Never rejects. */
export async function hear(
  event: AppProxyEvent,
  { database, log }: Deps,
  { acknowledgements, refusals }: { acknowledgements: Acknowledgements; refusals: RefusalSink },
): Promise<void> {
  if (event.name === "appproxy_worker_circuit_refused_event" || event.name === "appproxy_worker_circuit_added_event") {
    const theirs = await aboutItself(event, database, log);
    if (theirs.payload.circuits.length === 0) return;
    return theirs.name === "appproxy_worker_circuit_added_event"
      ? acknowledgements.receive(theirs)
      : refusals.hear(theirs);
  }
  if (event.name !== "appproxy_circuit_removed_event") return;
  try {
    // Another coordinator may have moved or removed what is waited for here. The wait ends within the same state of the
    // database: a wait that begins later is for a newer one.
    await database.read((q) => {
      for (const { id } of event.payload.circuits) endWait(q, id, acknowledgements);
    });
  } catch (error) {
    log.warn({ reason: reason(error) }, "cannot look up circuits that another coordinator has removed");
  }
}

/** Events or acknowledgements may have been lost: workers are told of the circuits that are waited for once more. Never rejects. */
export async function askAgain(
  { database, log }: Deps,
  publisher: Publisher,
  waited: readonly string[],
  whom: "all" | "ours" = "all",
): Promise<void> {
  if (waited.length > 0 || whom === "all") publisher.wake();
  if (waited.length === 0) return;
  try {
    const found = await database.read((q) => waited.flatMap((id) => toldOf(q, id, whom)));
    for (const { row, worker } of found)
      publisher.repeat(toCircuit(row), worker.authority, row.originRequestId).catch((error: unknown) => {
        log.debug({ circuit: row.id, reason: reason(error) }, "cannot ask for an acknowledgement again");
      });
  } catch (error) {
    log.warn({ reason: reason(error) }, "cannot ask for acknowledgements again");
  }
}

// --- internal ---

/**
 * What a worker says of its own circuits; it may be a worker's own secret that has signed this, and of others' it can say
 * nothing. Of a database that can't be read nothing counts: who waits asks again.
 */
async function aboutItself<E extends Said>(event: E, database: Deps["database"], log: Deps["log"]): Promise<E> {
  const { target_worker_authority: authority, circuits } = event.payload;
  try {
    const own = await database.read((q) =>
      circuits.filter(({ id, worker }) => {
        // It may name itself beside a circuit of another's. One that is gone is nobody's.
        const holder = getCircuit(q, id)?.workerId ?? worker;
        return holder === worker && getWorker(q, worker)?.authority === authority;
      }),
    );
    if (own.length < circuits.length)
      log.warn({ worker: authority, circuits: circuits.length - own.length }, "a worker speaks of others' circuits");
    return { ...event, payload: { ...event.payload, circuits: own } };
  } catch (error) {
    log.warn({ reason: reason(error) }, "cannot look up whose circuits a worker speaks of");
    return { ...event, payload: { ...event.payload, circuits: [] } };
  }
}

function endWait(q: Query, id: string, acknowledgements: Acknowledgements): void {
  const waited = acknowledgements.awaitedRow(id);
  const row = getCircuit(q, id);
  if (waited === undefined || row?.workerId === waited.workerId) return;
  // What was taken back there must not be called made here.
  const isTakenBack = row === undefined && wasWithdrawn(q, waited.workerId, id);
  acknowledgements.forget(id, isTakenBack ? "late" : "superseded");
}

/** A circuit as it is now (another request may have changed it since the wait began), and its worker. */
function toldOf(q: Query, id: string, whom: "all" | "ours"): { row: CircuitRow; worker: WorkerRow }[] {
  const row = getCircuit(q, id);
  const worker = row === undefined ? undefined : getWorker(q, row.workerId);
  // The original's worker may still be at it: it makes a circuit anew that it is told of twice.
  if (row === undefined || worker === undefined || (whom === "ours" && worker.isOriginal)) return [];
  return [{ row, worker }];
}
