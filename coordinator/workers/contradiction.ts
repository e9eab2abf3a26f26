/**
 * Whether a registration may say what its worker is. What a living node has said stands: another worker of the same authority
 * would take over the record, and every new circuit would go where nobody listens. Called by service.ts, within its transaction.
 */
import { Failure } from "../../shared/failure.ts";
import { contradictions, describeContradictions, type Contradiction } from "../../shared/protocol/facts.ts";
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import { livingNodeIds, NAMELESS_NODE } from "../store/nodes.ts";
import type { Query } from "../store/store.ts";
import { toBriefWorker, workerOf, type WorkerRow } from "../store/workers.ts";

/** A registration that living nodes contradict. */
export interface Conflict {
  row: WorkerRow;
  facts: Contradiction[];
  /** Their ids. */
  nodes: string[];
}

/**
 * Null when the registration may be recorded: it says what is recorded, or no other node lives that has said so, or it takes the
 * place of a living one. `asOf`: leases that ended before this, epoch milliseconds, are over.
 */
export function conflictOf(q: Query, wanted: WorkerRegistration, asOf: number): Conflict | null {
  const row = workerOf(q, wanted.authority);
  if (row === undefined) return null;
  const living = livingNodeIds(q, row.id, asOf);
  const nodes = living.filter((id) => id !== (wanted.node_id ?? NAMELESS_NODE));
  if (nodes.length === 0 || nodes.includes(wanted.supersedes ?? "")) return null;
  const facts = contradictions(toBriefWorker(q, row, asOf), wanted);
  return facts.length === 0 ? null : { row, facts, nodes };
}

/** The answer to such a registration. The same conflict is told in the same words. */
export function conflictFailure({ row: { authority }, facts, nodes }: Conflict): Failure {
  return new Failure("appproxy/worker-conflict", {
    msg: `authority: ${JSON.stringify(authority)} is a living worker's, which says otherwise: ${describeContradictions(facts)}; wanted an authority of its own, or the same configuration`,
    data: { contradictions: facts, nodes },
  });
}
