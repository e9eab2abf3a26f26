/**
 * The walk of a TCP connection: find the circuit, check the address and the allowlist, pick a route (dataplane T2, T3).
 * A refused connection is closed at once; the log says why.
 */
import { reportFailure } from "../../shared/runtime/report-failure.ts";
import { toFailure } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { tellSparingly } from "../../shared/runtime/sparingly.ts";
import type { Admission, Arrival } from "../seam/engine.ts";
import { fullFor, type CircuitRoom } from "./crowded.ts";
import { plainAddress } from "../http/client-address.ts";
import { isAllowed } from "../access/authorize.ts";
import type { TcpAllowlist } from "../access/tcp-allowlist.ts";
import { RouteAttempt } from "../upstreams/attempt.ts";
import { useOf, type Entry, type Table } from "../circuits/table.ts";
import type { Usage } from "../circuits/usage.ts";

export interface TcpRules {
  /** Null when every address may come. */
  allowlist: TcpAllowlist | null;
  /** Most connections of one circuit. */
  maxConnections: number;
}

interface TcpDeps {
  table: Table;
  usage: Usage;
  tcp: TcpRules;
  room: CircuitRoom;
  log: Log;
}

type Admitted = Admission<Entry> | null;

/** Where a connection goes that may pass; null closes it. */
export function admitTcp(arrival: Arrival, deps: TcpDeps): Admitted | Promise<Admitted> {
  const failed = (error: unknown): null => {
    reportFailure(deps.log, toFailure(error), arrival, "connection");
    return null;
  };
  try {
    const admitted = admit(arrival, deps);
    return admitted instanceof Promise ? admitted.catch(failed) : admitted;
  } catch (error) {
    return failed(error);
  }
}

/** Notes why a connection was not carried. */
export function refusedTcp(arrival: Arrival, entry: Entry | null, reason: string, log: Log): null {
  const line = { circuit: entry?.circuit.id, port: arrival.port, peer: arrival.peer, reason };
  tellSparingly(log, { level: "info", kind: `${arrival.port} ${reason}`, line, msg: "connection refused" });
  return null;
}

// --- internal ---

function admit(arrival: Arrival, deps: TcpDeps): Admitted | Promise<Admitted> {
  const { table, tcp, log } = deps;
  const entry = table.byPort(arrival.port) ?? null;
  const address = plainAddress(arrival.peer);
  const refused = entry === null ? "no circuit has this port" : refusal(entry, address);
  if (entry === null || refused !== null) return refusedTcp(arrival, entry, refused ?? "", log);
  const { circuit } = entry;
  if (circuit.open_to_public || tcp.allowlist === null) return open(entry, arrival, deps);
  return tcp.allowlist.knows(entry, address).then((known) => {
    if (!known) return refusedTcp(arrival, entry, "its address has not passed /setup for this circuit", log);
    // Meanwhile the circuit may have gone, or others have come.
    const now = table.byId(circuit.id) ?? null;
    const late = now === null ? "the circuit is gone" : refusal(now, address);
    return now === null || late !== null ? refusedTcp(arrival, now, late ?? "", log) : open(now, arrival, deps);
  });
}

function refusal(entry: Entry, address: string): string | null {
  return isAllowed(entry, address) ? null : "its address is not allowed";
}

function open(entry: Entry, arrival: Arrival, { usage, tcp, room, log }: TcpDeps): Admitted {
  const { pool } = entry;
  // A flood is told as a whole.
  if (fullFor(entry, room, Math.min(tcp.maxConnections, room.ofCircuit)) !== null) return null;
  const upstream = pool.pick();
  if (upstream === null) return refusedTcp(arrival, entry, "no kernel serves this app", log);
  const use = useOf(entry, usage);
  use.request();
  return { circuit: entry, attempt: new RouteAttempt(pool, upstream, use, "connection") };
}
