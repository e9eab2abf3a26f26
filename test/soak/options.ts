/** The command line of `bun run soak`. */
import { parseArgs } from "node:util";
import type { Shape } from "../contract/shapes.ts";

export interface Options {
  minutes: number;
  engine: Shape["engine"];
  seed: number;
  help: boolean;
}

export const USAGE = `bun run soak [--minutes N] [--engine sockets|serve] [--seed S]

  --minutes N   how long traffic runs (30); from 30 on the slope of memory is held to its limit
  --engine E    which engine carries it (sockets)
  --seed S      where random choices begin (a new one, which is printed)
`;

const ENGINES: readonly Shape["engine"][] = ["sockets", "serve"];

/** Throws with what was wrong. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: "string", default: "30" },
      engine: { type: "string", default: "sockets" },
      seed: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const engine = ENGINES.find((one) => one === values.engine);
  if (engine === undefined) throw new Error(`--engine: wanted ${ENGINES.join(" or ")}, got "${values.engine}"`);
  const minutes = Number(values.minutes);
  if (!(minutes >= 1 && minutes <= 10_000)) throw new Error(`--minutes: wanted 1 to 10000, got "${values.minutes}"`);
  const { seed = String(Math.floor(Math.random() * 1e9)) } = values;
  if (!/^\d{1,15}$/.test(seed)) throw new Error(`--seed: wanted a whole number, got "${seed}"`);
  return { minutes, engine, seed: Number(seed), help: values.help };
}
