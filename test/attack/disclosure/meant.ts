/** Where a secret is meant to be found, and why. Everything else is a leak. */
import type { Finding } from "./secrets.ts";

export interface Meant {
  /** The place to which it has got. */
  sink: RegExp;
  /** Which secret it is. */
  secret: RegExp;
  /** What stands before it there. */
  before?: RegExp;
  why: string;
}

const MEANT: Meant[] = [
  {
    sink: /^(Redis, commands|the database|snapshot of|answer to api at the coordinator|GET \/(v1\/api\/slots|api\/circuits))/,
    secret: /^(envs|args|health check) of a circuit$/,
    why: "they are a circuit's own, which workers (the original's by events, wire 6) and operators get whole; the saved ones only their owner reads",
  },
  {
    sink: /^the database/,
    secret: /^(a conf token|access_key)$/,
    why: "the first opens circuits while it lives, by the second filters choose a worker; the file is for its owner alone",
  },
  {
    sink: /^Redis, commands/,
    secret: /^a message of others$/,
    why: "they have put it there themselves",
  },
  {
    sink: /^answer to .* at the coordinator/,
    secret: /./,
    before: /\bgot(?: |":")(?:\w[\w-]*: )?(?:&quot;|[\\"]+)[^"]*$/,
    why: "who is refused hears what they gave in the place of something else; the log does not tell it",
  },
  {
    sink: /^answer to .* at the coordinator/,
    secret: /./,
    before: /\{"code":200,"url":"[^"]*$/,
    why: "the answer of /add is a URL with the token and the query that were given (wire 4)",
  },
  {
    sink: /^answer to opened at the coordinator/,
    secret: /^(a conf token$|redirect )/,
    why: "who opens an app is handed the setup token, which says by which token, and where to",
  },
  {
    sink: /^answer to .* at an app that breaks off/,
    secret: /^the app's /,
    why: "what an app says goes to who asked it",
  },
  {
    sink: /^log of coordinator/,
    secret: /^an id in a path /,
    why: "ids in paths say what a call was about; what has another form is told as well, and refused",
  },
];

/** Whether it is meant to be there. */
export function isMeant(sink: string, { place, before }: Finding): boolean {
  return MEANT.some((one) => one.sink.test(sink) && one.secret.test(place) && (one.before?.test(before) ?? true));
}
