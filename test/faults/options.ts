/** The command line of `bun run faults`. */
import { parseArgs } from "node:util";

export interface Options {
  trials: number;
  seed: number;
  /** Only this trial. */
  only: number | null;
  /** Only faults of this name. */
  fault: string | null;
  /** File for how many have passed and failed. */
  report: string | null;
  help: boolean;
}

export const USAGE = `bun run faults [--trials N] [--seed S] [--only K] [--fault NAME] [--report FILE]

  --trials N    how many trials (25)
  --seed S      where random choices begin (a new one, which is printed)
  --only K      the K-th trial of that seed alone, from 0
  --fault NAME  only faults of this kind
  --report FILE writes there how many passed and failed, as JSON
`;

/** Throws with what was wrong. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      trials: { type: "string", default: "25" },
      seed: { type: "string" },
      only: { type: "string" },
      fault: { type: "string" },
      report: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  return {
    trials: whole("trials", values.trials),
    seed: values.seed === undefined ? Math.floor(Math.random() * 1e9) : whole("seed", values.seed),
    only: values.only === undefined ? null : whole("only", values.only),
    fault: values.fault ?? null,
    report: values.report ?? null,
    help: values.help,
  };
}

// --- internal ---

function whole(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Error(`--${name}: wanted a whole number, got "${text}"`);
}
