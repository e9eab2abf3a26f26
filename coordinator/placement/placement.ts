/** Which worker carries a new circuit. Pure: candidates and a request in, a worker out. Called by slot.ts. */
import { Failure } from "../../shared/failure.ts";
import type { ProxyProtocol } from "../../shared/protocol/schema/basics.ts";
import { placementProtocol, type AppMode } from "../../shared/protocol/schema/circuit.ts";
import type { FilterKey } from "../../shared/protocol/schema/worker.ts";
import type { Candidate } from "../store/workers.ts";

export interface PlacementRequest {
  protocol: ProxyProtocol;
  mode: AppMode;
  /** What filters can match. */
  facts: Partial<Record<FilterKey, string>>;
  port: number | null;
  /** Whether a worker has the wanted port free. */
  portIsFree?: (workerId: string) => boolean;
  /** How many of a worker's ports may be chosen; all that are free, unless it says otherwise. */
  usable?: (worker: Candidate) => number;
}

/**
 * Chooses a worker. Throws `appproxy/worker-not-available` when none fits, and `appproxy/port-not-available`
 * when a port is wanted that no fitting worker has.
 */
export function place<C extends Candidate>(candidates: readonly C[], wish: PlacementRequest): C {
  const protocol = placementProtocol(wish.protocol);
  const speaking = candidates.filter(
    (one) => one.status === "ALIVE" && one.protocol === protocol && one.acceptedTraffics.includes(wish.mode),
  );
  const fitting = byFilters(speaking, wish.facts);
  const portWorkers = fitting.filter((one) => one.frontendMode === "port");
  if (wish.port !== null && portWorkers.length > 0) return placeAtPort(portWorkers, wish.port, wish.portIsFree);

  const wildcard = fitting.filter((one) => one.frontendMode === "wildcard").toSorted(byLeastOccupied)[0];
  const usable = wish.usable ?? (({ available }) => available);
  const byUsable = (a: Candidate, b: Candidate) => usable(b) - usable(a) || byMostFree(a, b);
  const chosen = wildcard ?? portWorkers.filter((one) => usable(one) > 0).toSorted(byUsable)[0];
  if (chosen !== undefined) return chosen;
  throw new Failure("appproxy/worker-not-available", explain(candidates, speaking, fitting, wish, protocol));
}

// --- internal ---

/** A worker whose filter matches takes precedence over all others; one that takes only filtered apps gets no other. */
function byFilters<C extends Candidate>(workers: C[], facts: PlacementRequest["facts"]): C[] {
  const known: Record<string, string | undefined> = facts;
  const named = workers.filter((one) => one.filters.some(({ key, value }) => known[key] === value));
  return named.length > 0 ? named : workers.filter((one) => !one.filteredAppsOnly);
}

/** A worker that has the port free, else one that has it at all: its slot's owner then answers 409. */
function placeAtPort<C extends Candidate>(workers: C[], port: number, isFree: PlacementRequest["portIsFree"]): C {
  const inRange = workers
    .filter(({ portLow, portHigh }) => portLow !== null && portHigh !== null && portLow <= port && port <= portHigh)
    .toSorted(byMostFree);
  const chosen = inRange.find(({ id }) => isFree?.(id) ?? true) ?? inRange[0];
  if (chosen !== undefined) return chosen;
  const ranges = workers.map((one) => `${one.portLow}-${one.portHigh}`).join(", ");
  throw new Failure("appproxy/port-not-available", `port: ${port} is in no worker's range; wanted one of ${ranges}`);
}

// The authority decides ties, so that the same state always gives the same answer.
function byLeastOccupied(a: Candidate, b: Candidate): number {
  return a.occupied - b.occupied || a.authority.localeCompare(b.authority);
}

function byMostFree(a: Candidate, b: Candidate): number {
  return b.available - a.available || a.authority.localeCompare(b.authority);
}

function explain(
  all: readonly Candidate[],
  speaking: Candidate[],
  fitting: Candidate[],
  wish: PlacementRequest,
  protocol: ProxyProtocol,
): string {
  if (all.every((one) => one.status !== "ALIVE")) return "No worker is alive";
  if (speaking.length === 0) return `No living worker carries ${wish.mode} circuits of protocol ${protocol}`;
  if (fitting.length === 0) return "The living workers take only filtered apps, and no filter matches this one";
  return "All ports of the fitting workers are taken";
}
