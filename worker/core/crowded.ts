/** Whether a circuit, and those whose it is, have room for one request or connection more. Asked for HTTP, WebSockets and TCP alike. */
import type { Entry } from "../circuits/table.ts";
import type { Crowding, Full } from "../../shared/net/crowding.ts";
import type { HolderKind } from "../upstreams/holders.ts";

/** What one circuit, one session and one person may have of the worker's room. */
export interface CircuitRoom {
  /** Most requests and connections under way. */
  ofCircuit: number;
  /** The same of all circuits of one. */
  ofHolder: Readonly<Record<HolderKind, number>>;
  /** Most of those that are refused later, lest they come again at once. */
  ofWaiting: number;
  /** Where those that were refused are told. */
  crowding: Pick<Crowding, "refuse">;
}

/** What is full, which is told; null while there is room. `most` is the circuit's own limit. Costs nothing: asked for each. */
export function fullFor({ pool, circuit }: Entry, room: CircuitRoom, most = room.ofCircuit): Full | null {
  if (pool.open >= most) return refused("circuit", { circuit: circuit.id, connections: pool.open }, room);
  for (const { kind, id, open } of pool.holders)
    if (open >= room.ofHolder[kind]) return refused(kind, { circuit: circuit.id, [kind]: id, connections: open }, room);
  return null;
}

/** Names what of a circuit is full. */
export function fullKey({ circuit, pool }: Entry, full: Full): string {
  const holder = pool.holders.find(({ kind }) => kind === full);
  return holder === undefined ? `circuit ${circuit.id}` : `${full} ${holder.id}`;
}

// --- internal ---

function refused(full: Full, about: Record<string, unknown>, { crowding }: CircuitRoom): Full {
  crowding.refuse(full, about);
  return full;
}
