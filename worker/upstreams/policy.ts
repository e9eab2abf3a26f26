/**
 * Which member of a pool gets the next request: pure choices over weights and open requests (dataplane R1).
 * Called by pool.ts, which knows which members may be chosen.
 */

export const ROUTE_POLICIES = ["least_outstanding", "round_robin", "random"] as const;
export type RoutePolicy = (typeof ROUTE_POLICIES)[number];

/** What a choice needs to know of a member. */
export interface Weighed {
  /** Share of the traffic, above 0: the route's `traffic_ratio`. */
  readonly weight: number;
  /** Requests and connections that are open. */
  readonly open: number;
  /** What the rotation owes it; kept by `roundRobin`. */
  credit: number;
}

/** The next member; undefined for none. `random` gives a number in [0, 1). */
export function choose<T extends Weighed>(
  members: readonly T[],
  policy: RoutePolicy,
  random: () => number,
): T | undefined {
  if (members.length < 2) return members[0];
  switch (policy) {
    case "round_robin":
      return roundRobin(members);
    case "random":
      return weightedRandom(members, random());
    case "least_outstanding":
      return roundRobin(leastLoaded(members));
  }
}

// --- internal ---

/** Smooth weighted rotation: everyone earns its weight, the richest pays the total. Weights 5, 1, 1 give a a b a c a a. */
function roundRobin<T extends Weighed>(members: readonly T[]): T | undefined {
  let total = 0;
  let best: T | undefined;
  for (const member of members) {
    member.credit += member.weight;
    total += member.weight;
    if (best === undefined || member.credit > best.credit) best = member;
  }
  if (best !== undefined) best.credit -= total;
  return best;
}

function weightedRandom<T extends Weighed>(members: readonly T[], ticket: number): T | undefined {
  let left = ticket * members.reduce((sum, { weight }) => sum + weight, 0);
  for (const member of members) {
    left -= member.weight;
    if (left < 0) return member;
  }
  return members.at(-1);
}

/** Those that one more request would load least for their weight. */
function leastLoaded<T extends Weighed>(members: readonly T[]): T[] {
  const least = Math.min(...members.map(load));
  return members.filter((member) => load(member) === least);
}

function load({ open, weight }: Weighed): number {
  return (open + 1) / weight;
}
