/** What a worker's node gets when it asks for its circuits: all of them, or what has changed since a revision that it has. */
import { and, asc, count, eq, gt, notExists, sql } from "drizzle-orm";
import type { Revision } from "../../shared/protocol/revision.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import { circuitsOfWorker } from "./circuit-queries.ts";
import { toCircuit } from "./circuits.ts";
import type { Query } from "./store.ts";
import { prepared } from "./prepared.ts";
import { changes, circuits } from "./schema.ts";
import type { WorkerRow } from "./workers.ts";

/**
 * The changes since `have`, when all of them are still recorded; else everything. Runs in a transaction, so that circuits,
 * revision and digest belong together.
 */
export function circuitsFor(q: Query, worker: WorkerRow, epoch: string, have: Revision | null): WorkerCircuits {
  const { id, revision, digest } = worker;
  const now = { revision, epoch, digest };
  if (have === null || !isRecorded(q, worker, epoch, have))
    return { circuits: circuitsOfWorker(q, id).map(toCircuit), ...now };
  const { number: since } = have;
  if (since === revision) return { circuits: [], removed: [], since, ...now };
  const changed = selectChanged(q).all({ id, since });
  const gone = selectGone(q).all({ id, since });
  return { circuits: changed.map(toCircuit), removed: gone.map((one) => one.id), since, ...now };
}

// --- internal ---

/** Changes are numbered without gaps and forgotten from the oldest on: they are all there when their number is right. */
function isRecorded(q: Query, worker: WorkerRow, epoch: string, have: Revision): boolean {
  if (have.epoch !== epoch || have.number > worker.revision) return false;
  if (have.number === worker.revision) return true;
  const recorded = countChanges(q).get({ id: worker.id, since: have.number });
  return recorded?.changes === worker.revision - have.number;
}

const arg = sql.placeholder;
const changesSince = and(eq(changes.workerId, arg("id")), gt(changes.revision, arg("since")));
const countChanges = prepared((db) => db.select({ changes: count() }).from(changes).where(changesSince).prepare());
const selectChanged = prepared((db) =>
  db
    .select()
    .from(circuits)
    .where(and(eq(circuits.workerId, arg("id")), gt(circuits.revision, arg("since"))))
    .orderBy(asc(circuits.revision))
    .prepare(),
);
/** Circuits that were this worker's after `since`, or then, and are no more. */
const selectGone = prepared((db) => {
  const isHere = db
    .select({ one: sql`1` })
    .from(circuits)
    .where(and(eq(circuits.id, changes.circuitId), eq(circuits.workerId, arg("id"))));
  return db
    .selectDistinct({ id: changes.circuitId })
    .from(changes)
    .where(and(changesSince, notExists(isHere)))
    .prepare();
});
