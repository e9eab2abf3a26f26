/**
 * Tells the log of registrations that are refused, with both sides and where they are, so that an operator finds the two. A worker
 * tries once a second: the same conflict is told once a minute.
 */
import type { Failure } from "../../shared/failure.ts";
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { Recent } from "../../shared/runtime/recent.ts";
import { asciiHost } from "../../shared/http/host.ts";
import { NAMELESS_NODE } from "../store/nodes.ts";
import { apiUrl } from "../store/workers.ts";
import { conflictFailure, type Conflict } from "./contradiction.ts";

export interface ConflictLog {
  /** A node was heard from an address. */
  seen(workerId: string, nodeId: string | null | undefined, from: string | null): void;
  /** Logs a conflict, and gives the failure to answer with. */
  refuse(conflict: Conflict, wanted: WorkerRegistration, from: string | null): Failure;
}

const AGAIN_MS = 60_000;
/** Nodes whose addresses are known, and conflicts that were told: far more than anybody has. */
const KEPT = 10_000;

export function createConflictLog(log: Log, now: () => number): ConflictLog {
  const addresses = new Recent<string>(KEPT);
  const told = new Recent<number>(KEPT);
  const keyOf = (workerId: string, nodeId: string | null | undefined) => `${workerId} ${nodeId ?? NAMELESS_NODE}`;
  return {
    seen(workerId, nodeId, from) {
      if (from !== null) addresses.set(keyOf(workerId, nodeId), from);
    },
    refuse(conflict, wanted, from) {
      const failure = conflictFailure(conflict);
      const { row, facts, nodes } = conflict;
      const key = `${failure.message} ${from}`;
      const before = told.get(key);
      if (before !== undefined && Math.abs(now() - before) < AGAIN_MS) return failure;
      told.set(key, now());
      log.warn(
        {
          worker: row.authority,
          living: nodes.map((node) => ({ node, from: addresses.get(keyOf(row.id, node)) ?? null })),
          living_api: apiUrl(row),
          refused: { node: wanted.node_id ?? null, from },
          refused_api: urlOf(wanted),
          facts: Object.fromEntries(
            facts.map(({ field, recorded, given }) => [field, { living: recorded, refused: given }]),
          ),
        },
        "registration refused: a living node of this authority says otherwise; each worker needs an authority of its own",
      );
      return failure;
    },
  };
}

// --- internal ---

function urlOf({ hostname, api_port: port, tls_advertised: told, tls_listen: tls }: WorkerRegistration): string {
  return `${told || tls ? "https" : "http"}://${asciiHost(hostname)}:${port}`;
}
