/**
 * How the model tests run: random runs of fifty steps. A run that fails is printed with its seed and path and the smallest
 * steps that fail too; `FC_SEED=… FC_PATH=… bun run test test/model/table.test.ts` repeats it, `FC_RUNS` says how many. On a
 * machine so busy that they take minutes fewer of them are made: what one run finds does not hang on their number.
 */
import * as fc from "fast-check";

export const STEPS = 50;

/** A test's time; `FC_RUNS` may ask for many. */
export const TIMEOUT_MS = 600_000;

/** So long new runs are begun, unless `FC_RUNS` says how many; all of them take 80 s on a quiet machine. Milliseconds. */
const ENOUGH_MS = 240_000;

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

type Settings = Pick<fc.Parameters, "numRuns" | "seed" | "path" | "interruptAfterTimeLimit">;

/** So many runs, or as the environment says. */
export function runs(count: number): Settings {
  const { FC_SEED: seed, FC_PATH: path, FC_RUNS: wanted } = process.env;
  return {
    ...(wanted === undefined ? { numRuns: count, interruptAfterTimeLimit: ENOUGH_MS } : { numRuns: Number(wanted) }),
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
