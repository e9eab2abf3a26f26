/**
 * Which upstream of a pool gets the next request: pure choices over weights and open requests (dataplane R1).
 * Called by pool.ts, which knows which upstreams may be chosen.
 */

export const ROUTE_POLICIES = ["least_outstanding", "round_robin", "random"] as const;
export type RoutePolicy = (typeof ROUTE_POLICIES)[number];

/** What a choice needs to know of an upstream. */
export interface Weighed {
  /** Share of the traffic, above 0: the route's `traffic_ratio`. */
  readonly weight: number;
  /** Requests and connections that are open. */
  readonly open: number;
  /** What the rotation owes it; kept by `roundRobin`. */
  credit: number;
}

/** The next upstream; undefined for none. `random` gives a number in [0, 1). */
export function choose<T extends Weighed>(
  upstreams: readonly T[],
  policy: RoutePolicy,
  random: () => number,
): T | undefined {
  if (upstreams.length < 2) return upstreams[0];
  switch (policy) {
    case "round_robin":
      return roundRobin(upstreams);
    case "random":
      return weightedRandom(upstreams, random());
    case "least_outstanding":
      return roundRobin(leastLoaded(upstreams));
  }
}

// --- internal ---

/** Smooth weighted rotation: everyone earns its weight, the richest pays the total. Weights 5, 1, 1 give a a b a c a a. */
function roundRobin<T extends Weighed>(upstreams: readonly T[]): T | undefined {
  let total = 0;
  let best: T | undefined;
  for (const upstream of upstreams) {
    upstream.credit += upstream.weight;
    total += upstream.weight;
    if (best === undefined || upstream.credit > best.credit) best = upstream;
  }
  if (best !== undefined) best.credit -= total;
  return best;
}

function weightedRandom<T extends Weighed>(upstreams: readonly T[], ticket: number): T | undefined {
  let left = ticket * upstreams.reduce((sum, { weight }) => sum + weight, 0);
  for (const upstream of upstreams) {
    left -= upstream.weight;
    if (left < 0) return upstream;
  }
  return upstreams.at(-1);
}

/** Those that one more request would load least for their weight. */
function leastLoaded<T extends Weighed>(upstreams: readonly T[]): T[] {
  const least = Math.min(...upstreams.map(load));
  return upstreams.filter((upstream) => load(upstream) === least);
}

function load({ open, weight }: Weighed): number {
  return (open + 1) / weight;
}
