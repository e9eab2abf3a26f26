/** Whether the nodes' tables are the database's, and how long it takes until they are. */
import { digestOf } from "../../shared/protocol/digest.ts";
import type { Cluster, Node } from "./cluster.ts";
import { readDatabase, type Stored } from "./database.ts";
import { owed } from "../support/owed.ts";

/** Asks again so often. Milliseconds. */
const POLL_MS = 25;

export interface Health {
  revision: number | null;
  circuits: number;
  digest?: string | number | null;
}

export interface Converged {
  /** Milliseconds since `since`. */
  after: number;
  stored: Stored;
}

/**
 * Resolves when every node's digest is that of its circuits in the database and no change is unpublished. Gives what still
 * differs when that takes longer than `ms` since `since` (of performance.now()).
 */
export async function converge(cluster: Cluster, since: number, ms: number): Promise<Converged | string> {
  for (;;) {
    const difference = await differenceNow(cluster);
    const after = performance.now() - since;
    if (typeof difference !== "string") return { after, stored: difference };
    if (after > ms) return difference;
    await Bun.sleep(POLL_MS);
  }
}

/** What a node says of itself; null when it does not answer. */
export async function healthOf({ api }: Pick<Node, "api">): Promise<Health | null> {
  try {
    const answer = await fetch(`${api}/health`, { keepalive: false, signal: AbortSignal.timeout(owed(1000)) });
    return (await answer.json()) as Health;
  } catch {
    return null; // it is starting, or stopped
  }
}

// --- internal ---

/** What differs; nothing does when it gives what is stored. */
async function differenceNow(cluster: Cluster): Promise<Stored | string> {
  const healths = await Promise.all(cluster.nodes.map(healthOf));
  let stored: Stored;
  try {
    stored = readDatabase(cluster.database);
  } catch (error) {
    return `the database can't be read: ${String(error)}`;
  }
  if (stored.unpublished > 0) return `${stored.unpublished} changes are unpublished`;
  const differences = cluster.nodes.map((node, at) => differenceAt(node, healths[at] ?? null, stored));
  return differences.find((one) => one !== null) ?? stored;
}

function differenceAt({ authority, machine: { name } }: Node, health: Health | null, stored: Stored): string | null {
  const worker = stored.workers.find((one) => one.authority === authority);
  if (health === null) return `${name} does not answer`;
  if (worker === undefined) return `the database does not know ${authority}`;
  const circuits = stored.circuits.filter(({ workerId }) => workerId === worker.id);
  const [has, wanted] = [
    `${health.circuits} circuits at revision ${health.revision}`,
    `${circuits.length} circuits at revision ${worker.revision}`,
  ];
  if (has !== wanted) return `${name} has ${has}, the database ${wanted}`;
  const digest = digestOf(circuits);
  if (worker.digest !== digest)
    return `the database says digest ${worker.digest} of ${authority}, its circuits make ${digest}`;
  const theirs = health.digest;
  if (theirs !== undefined && theirs !== digest && theirs !== digest.toString(16))
    return `${name} has digest ${theirs ?? "none"}, the database ${digest}`;
  return null;
}
