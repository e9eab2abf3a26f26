/**
 * The digest of a table of circuits: what coordinator and worker compare to find out whether they agree (consistency 6).
 * The XOR of a hash of each circuit, so that a change costs the same however many circuits there are.
 */

/** What tells a circuit's state. The time too: a database that was put back from a backup numbers its changes anew. */
export interface CircuitState {
  id: string;
  revision?: number;
  /** ISO 8601 with milliseconds, UTC. */
  updated_at: string;
}

/** Bits of a hash: whole numbers that JavaScript, SQLite and JSON hold exactly. */
const BITS = 52;
/** XOR in JavaScript takes 32 bits: a digest is mixed in two halves. */
const HALF = 2 ** 26;

/** The hash of one circuit in one state. xxHash64, because both sides may run different versions of Bun. */
export function circuitHash({ id, revision = 0, updated_at: at }: CircuitState): number {
  return Number(BigInt.asUintN(BITS, Bun.hash.xxHash64(`${id} ${revision} ${at}`)));
}

/** The digest after a circuit's hash was put in or, the same, taken out. */
export function mix(digest: number, hash: number): number {
  const high = Math.floor(digest / HALF) ^ Math.floor(hash / HALF);
  return high * HALF + ((digest % HALF) ^ (hash % HALF));
}

/** The digest of many circuits. Of none it is 0. */
export function digestOf(circuits: Iterable<CircuitState>): number {
  let digest = 0;
  for (const circuit of circuits) digest = mix(digest, circuitHash(circuit));
  return digest;
}
