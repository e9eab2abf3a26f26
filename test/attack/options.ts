/** What `bun run attack` tells its suites; without it (in `verify`) they are short, and the same each time. */
import { parseArgs } from "node:util";

export interface Options {
  /** Names of suites: the files of this folder without `.test.ts`; empty for all. */
  suites: string[];
  full: boolean;
  seed: number;
  help: boolean;
}

export const USAGE = `bun run attack [SUITE…] [--full] [--seed S]

  SUITE       which of test/attack/*.test.ts (all)
  --full      the long form of each: more cases, more connections, more programs
  --seed S    where random choices begin (a new one, which is printed)
`;

const FULL = "ATTACK_FULL";
const SEED = "ATTACK_SEED";

/** Throws with what was wrong. */
export function readOptions(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      full: { type: "boolean", default: false },
      seed: { type: "string", default: String(newSeed()) },
      help: { type: "boolean", default: false },
    },
  });
  const { full, seed, help } = values;
  if (!/^\d{1,15}$/.test(seed)) throw new Error(`--seed: wanted a whole number, got "${seed}"`);
  return { suites: positionals, full, seed: Number(seed), help };
}

/** The environment in which a suite finds its options. */
export function environment({ full, seed }: Pick<Options, "full" | "seed">): Record<string, string> {
  return { [FULL]: full ? "1" : "0", [SEED]: String(seed) };
}

/** In a suite: whether it is the long form. */
export const isFull = process.env[FULL] === "1";

/** In `verify`, which tells whether the product is as it was: to look for what nobody has seen yet is for `bun run attack`. */
const USUAL_SEED = 1;

/** In a suite: where its random choices begin. Printed, so that a failure can be had again. */
export const seed = Number(process.env[SEED] ?? USUAL_SEED);

function newSeed(): number {
  return Math.floor(Math.random() * 1e9);
}
