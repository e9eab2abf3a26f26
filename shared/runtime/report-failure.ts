/**
 * The one log line of a failure, in both services. An error that nobody expected is told at `error` with its cause and stack,
 * because the page that a person sees says that the log has the details; what went wrong elsewhere is a warning, a refusal
 * is information. Called where a failure becomes an answer (coordinator/http/errors.ts, worker/core, worker/api), or the answer
 * of one entry of many (coordinator/endpoints/api.ts).
 */
import { reason, type Failure } from "../failure.ts";
import type { Log } from "./log.ts";
import { redactUrl } from "./redact.ts";
import { tellSparingly } from "./sparingly.ts";

/** What a failure's line says beside the failure: of the request, of the entry of one, or of the connection that it ended. */
export interface FailureContext {
  /** Also on the page, for who asks an administrator. */
  error_id?: string;
  circuit?: string | undefined;
  endpoint?: string;
  method?: string;
  /** Path and query as they were sent. Redacted here, because the log may be an embedder's own. */
  url?: string;
  /** Who asked. Refusals of one kind to one address are summed up; without it each has its line. */
  peer?: string | undefined;
  /** The port that it came to. */
  port?: number;
  /** The platform's id of the request. */
  request_id?: string | undefined;
}

/**
 * Writes the line of a failure. `what` is what has failed. Gives the error id under which it stands in the log: that of another
 * one of its kind, where it is only counted with that.
 */
export function reportFailure(
  log: Log,
  failure: Failure,
  { url, method, ...about }: FailureContext,
  what: "request" | "entry" | "connection" = "request",
): string | undefined {
  const { httpStatus: status, kind, cause, message } = failure;
  const line = {
    ...about,
    ...(method === undefined ? {} : { method: METHOD.test(method) ? method : HIDDEN }),
    ...(url === undefined ? {} : { url: redactUrl(url) }),
    status,
    reason: withoutQuotes(message, kind === "misdirected-request" ? isHostName : isAddress),
    ...(cause === undefined ? {} : { cause: reason(cause) }),
  };
  const { peer, error_id } = about;
  if (kind === "internal-server-error") log.error({ ...line, stack: stackOf(cause ?? failure) }, `${what} failed`);
  else {
    const [level, msg] = [status >= 500 ? "warn" : "info", `${what} refused`] as const;
    if (peer !== undefined) return tellSparingly(log, { level, kind, line: { ...line, peer }, msg });
    log[level](line, msg);
  }
  return error_id;
}

// --- internal ---

const HIDDEN = "…";
/** As methods are registered (RFC 9110 §16.1). What stands in the place of one may be anything, of any length. */
const METHOD = /^[A-Z-]{1,20}$/;

/** What a message quotes of a request: one behind `got`, as JSON, which may have been cut. */
const QUOTED = /\bgot "((?:[^"\\]|\\[^])*)"?/g;
/** An address or a range is told: an operator looks for it. */
const ADDRESS = /^(?=.*[.:])[\da-f.:/[\]]{2,50}$/i;
const isAddress = (given: string) => ADDRESS.test(given);
/** So is a name that is none of ours: it may be missing in a list of names. Of a name alone nobody knows what it is. */
const HOST = /^(?=.*[.:])[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63}){0,8}\.?(?::\d{1,5})?$/i;
/** What stands between hyphens and dots of a name has seldom more letters, or so many with digits; of a key it has. */
const LIKE_A_KEY = /[a-z\d]{24}|(?=[a-z]*\d)[a-z\d]{16}|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/i;
const isHostName = (given: string) => HOST.test(given) && !LIKE_A_KEY.test(given);

/**
 * Who is refused hears what they gave in the place of something else, but that may be a secret which stands where it does not
 * belong: a token as the session, a password as the port.
 */
function withoutQuotes(message: string, mayBeTold: (given: string) => boolean): string {
  return message.replaceAll(QUOTED, (whole, given: string) => (mayBeTold(given) ? whole : `got "${HIDDEN}"`));
}

/** More causes of causes than anybody nests; a circle of them ends there too. */
const MAX_CAUSES = 5;

/** The stack of an error, and of what caused it. Undefined for a thrown value that has none. */
function stackOf(error: unknown): string | undefined {
  const stacks: string[] = [];
  for (let at = error; at instanceof Error && stacks.length < MAX_CAUSES; at = at.cause)
    stacks.push(at.stack ?? String(at));
  return stacks.length === 0 ? undefined : stacks.join("\ncaused by: ");
}
