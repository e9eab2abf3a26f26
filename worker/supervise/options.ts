/** The supervisor's command line: its own options come first, the rest is the worker's. */

export interface Options {
  /** The worker's main file. */
  worker: string;
  readyMs: number;
  /** Passed on to the worker. */
  args: string[];
}

/** A worker is ready when it has fetched its circuits: longer than the coordinator needs to be restarted. */
const READY_SECONDS = 60;

export const SUPERVISE_HELP = `bun run supervise [--worker FILE] [--ready-within SECONDS] [the worker's arguments]

  --worker FILE             the worker's main file, looked up anew at each start; default: the one beside this
  --ready-within SECONDS    a new process that does not serve by then is ended; default: ${READY_SECONDS}

SIGHUP starts a second worker on the same ports; when it serves, the first one leaves them to it and ends.
SIGTERM and SIGINT end the worker and the supervisor.
`;

/** Reads the options; null: help was asked for. Throws when one of ours has no good value. */
export function readOptions(argv: readonly string[], beside: string): Options | null {
  const options: Options = { worker: beside, readyMs: READY_SECONDS * 1000, args: [] };
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at] ?? "";
    if (argument === "--help" || argument === "-h") return null;
    const [, name, inline] = /^(--worker|--ready-within)(?:=(.*))?$/.exec(argument) ?? [];
    if (name === undefined) {
      options.args.push(argument);
      continue;
    }
    const value = inline ?? argv[++at] ?? "";
    if (name === "--worker") options.worker = wanted(name, value, "a file", value !== "");
    else options.readyMs = Number(wanted(name, value, "a number of seconds above 0", Number(value) > 0)) * 1000;
  }
  return options;
}

// --- internal ---

function wanted(name: string, value: string, what: string, isGood: boolean): string {
  if (!isGood) throw new Error(`${name}: "${value}" was given; wanted ${what}`);
  return value;
}
