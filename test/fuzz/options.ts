/** The command line of `bun run fuzz`. */
import { parseArgs } from "node:util";

export interface Options {
  seed: number;
  streams: number;
  answers: number;
  /** The number of the first stream and of the first answers. */
  from: number;
  help: boolean;
}

export const USAGE = `bun run fuzz [--seed N] [--streams N] [--answers N] [--from N]

  --seed N     where random choices begin (a new one, which is printed)
  --streams N  how many streams of requests (20000)
  --answers N  how many rows of one to four answers (5000)
  --from N     the number of the first of each (0): --from 12 --streams 1 --answers 0 plays stream 12 alone
`;

/** Throws with what was wrong. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: "string" },
      streams: { type: "string", default: "20000" },
      answers: { type: "string", default: "5000" },
      from: { type: "string", default: "0" },
      help: { type: "boolean", default: false },
    },
  });
  return {
    seed: values.seed === undefined ? newSeed() : whole("seed", values.seed),
    streams: whole("streams", values.streams),
    answers: whole("answers", values.answers),
    from: whole("from", values.from),
    help: values.help,
  };
}

/** One that nobody has tried. */
export function newSeed(): number {
  return Math.floor(Math.random() * 1e9);
}

// --- internal ---

function whole(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Error(`--${name}: wanted a whole number, got "${text}"`);
}
