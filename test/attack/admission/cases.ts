/** Which cases are tried: all, or so few that each two values of what may differ still meet. */
import { combinations } from "../../support/combinations.ts";
import type { Random } from "../../faults/random.ts";
import { KINDS } from "./circuits.ts";
import { CREDENTIALS } from "./credentials.ts";
import { METHODS, PROTOCOLS, SITES, type Case } from "./rules.ts";

interface Values {
  kind: readonly Case["kind"][];
  credential: readonly Case["credential"][];
  method: readonly Case["method"][];
  protocol: readonly Case["protocol"][];
}

export const VALUES: Values = { kind: KINDS, credential: CREDENTIALS, method: METHODS, protocol: PROTOCOLS };

/** Every case there is; where it comes from is drawn. */
export function allCases(random: Random, { kind, credential, method, protocol }: Values = VALUES): Case[] {
  const every = combinations({ kind, credential, method, protocol });
  return every.map((one) => ({ ...one, site: random.pick(SITES) }));
}

/** Cases in which these come together: each credential with each circuit and method, each method with all else. */
export function fewCases(random: Random, values: Values = VALUES): Case[] {
  const met = new Set<string>();
  return shuffled(allCases(random, values), random).filter((one) => {
    const fresh = meetings(one).filter((pair) => !met.has(pair));
    for (const pair of fresh) met.add(pair);
    return fresh.length > 0;
  });
}

// --- internal ---

function meetings({ kind, credential, method, protocol, site }: Case): string[] {
  return [
    [kind.name, credential.name],
    [method, credential.name],
    [method, protocol, kind.name],
    [protocol, credential.name],
    [method, protocol, site.name],
  ].map((some) => some.join(" · "));
}

/** Fisher and Yates. */
function shuffled<T>(all: readonly T[], random: Random): T[] {
  const mixed = [...all];
  for (let at = mixed.length - 1; at > 0; at--) {
    const other = random.between(0, at);
    [mixed[at], mixed[other]] = [mixed[other] as T, mixed[at] as T];
  }
  return mixed;
}
