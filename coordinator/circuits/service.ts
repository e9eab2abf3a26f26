/** Reading and deleting circuits. Creation is in proxy/service.ts. */
import { Failure, notFound } from "../../shared/failure.ts";
import type { Circuit } from "../../shared/schema/circuit.ts";
import { write } from "../db/open.ts";
import type { Deps } from "../deps.ts";
import type { Acknowledgements } from "../acknowledge.ts";
import type { Publisher } from "../publish.ts";
import { getWorker } from "../workers/store.ts";
import * as store from "./store.ts";

export interface CircuitService {
  /** Throws object-not-found. */
  get(id: string): Circuit;
  list(filter: store.CircuitFilter, limit: number, after?: string): { circuits: Circuit[]; next: string | null };
  /** Throws object-not-found. `requestId` is that of the deleting request; it goes into the event. */
  remove(id: string, requestId: string | null): void;
}

export function createCircuitService(
  { database: { db }, now, log }: Deps,
  publisher: Publisher,
  acknowledgements: Acknowledgements,
): CircuitService {
  return {
    get(id) {
      const row = store.getCircuit(db, id.toLowerCase());
      if (row === undefined) throw notFound("circuit");
      return store.toCircuit(row);
    },
    list(filter, limit, after) {
      const start = after === undefined ? undefined : store.getCircuit(db, after.toLowerCase());
      if (after !== undefined && start === undefined) {
        throw new Failure("invalid-api-params", `after: wanted the id of an existing circuit, got "${after}"`);
      }
      // One more than asked tells whether there is a next page.
      const rows = store.listCircuits(db, { ...filter, sessionId: filter.sessionId?.toLowerCase() }, limit + 1, start);
      const page = rows.slice(0, limit);
      return { circuits: page.map(store.toCircuit), next: rows.length > limit ? (page.at(-1)?.id ?? null) : null };
    },
    remove(id, requestId) {
      const row = write(db, (tx) => {
        const found = store.getCircuit(tx, id.toLowerCase());
        if (found === undefined) throw notFound("circuit");
        store.removeCircuit(tx, found, { requestId, now: now() });
        return found;
      });
      acknowledgements.forget(row.id);
      publisher.kick();
      const worker = getWorker(db, row.workerId)?.authority;
      log.info(
        { circuit: row.id, worker, origin_request_id: row.originRequestId, request_id: requestId },
        "circuit deleted",
      );
    },
  };
}
