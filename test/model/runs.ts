/**
 * How the model tests run: random runs of fifty steps. A run that fails is printed with its seed and path and the smallest
 * steps that fail too; `FC_SEED=… FC_PATH=… bun run test test/model/table.test.ts` repeats it, `FC_RUNS` says how many.
 */
import * as fc from "fast-check";

export const STEPS = 50;

/** A test's time; `FC_RUNS` may ask for many. */
export const TIMEOUT_MS = 600_000;

/** Fifty of these steps. `nothing` is what a failing run's needless steps become. */
export function stepsOf<Step extends { kind: string }>(
  ...kinds: (fc.WeightedArbitrary<Step> | fc.Arbitrary<Step>)[]
): fc.Arbitrary<(Step | { kind: "nothing" })[]> {
  const nothing = { weight: 1, arbitrary: fc.constant({ kind: "nothing" as const }) };
  const weighted = kinds.map((one) => ("weight" in one ? one : { weight: 10, arbitrary: one }));
  const step = fc.oneof<fc.WeightedArbitrary<Step | { kind: "nothing" }>[]>(
    { withCrossShrink: true },
    nothing,
    ...weighted,
  );
  return fc.array(step, { minLength: STEPS, maxLength: STEPS });
}

/** So many runs, or as the environment says. */
export function runs(count: number): { numRuns: number; seed?: number; path?: string } {
  const { FC_SEED: seed, FC_PATH: path, FC_RUNS: wanted } = process.env;
  return {
    numRuns: wanted === undefined ? count : Number(wanted),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(path === undefined ? {} : { path }),
  };
}

/** A difference; far cheaper than an `expect` at each of a million steps. */
export function same(what: string, got: unknown, wanted: unknown): void {
  if (Object.is(got, wanted)) return;
  const [ours, theirs] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (ours !== theirs) throw new Error(`${what}: got ${ours}, wanted ${theirs}`);
}
