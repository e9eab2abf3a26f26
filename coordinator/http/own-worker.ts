/**
 * Whether a call concerns the worker for which its caller may speak. Who has the api_secret may speak for all (`caller` is null);
 * who has a worker's own secret for that worker alone, so that a worker that was taken over harms no other. Called by the
 * routes of workers, after the secret was checked. A record's authority never changes, so what is found here stays true.
 */
import { Failure, notFound } from "../../shared/failure.ts";
import { getCircuit } from "../store/circuit-queries.ts";
import type { Query, Store } from "../store/store.ts";
import { getWorker } from "../store/workers.ts";

export interface Ownership {
  /** Throws generic-forbidden. */
  authority(caller: string | null, authority: string): void;
  /** Rejects with generic-forbidden, or with object-not-found. */
  worker(caller: string | null, workerId: string): Promise<void>;
  /** Rejects with generic-forbidden, or with object-not-found. */
  circuit(caller: string | null, circuitId: string): Promise<void>;
}

export function createOwnership(database: Pick<Store, "read">): Ownership {
  function authority(caller: string | null, wanted: string): void {
    if (caller === null || caller === wanted) return;
    const msg = `authority: the secret is that of ${JSON.stringify(caller)}, and this is ${JSON.stringify(wanted)}`;
    throw new Failure("generic-forbidden", msg);
  }

  async function check(caller: string | null, what: string, find: (q: Query) => string | undefined): Promise<void> {
    if (caller === null) return;
    const found = await database.read(find);
    if (found === undefined) throw notFound(what);
    authority(caller, found);
  }

  const authorityOf = (q: Query, workerId: string | undefined) =>
    workerId === undefined ? undefined : getWorker(q, workerId)?.authority;
  return {
    authority,
    worker: (caller, id) => check(caller, "worker", (q) => authorityOf(q, id.toLowerCase())),
    circuit: (caller, id) => check(caller, "circuit", (q) => authorityOf(q, getCircuit(q, id.toLowerCase())?.workerId)),
  };
}
