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
    reason: withoutQuotes(message, kind === "misdirected-request" ? NAME : ADDRESS),
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
/** So is the name of a machine which asks for another one's: it may be missing in a list of names. No token has this form. */
const NAME = /^(?=.*[.:])(?:[a-z\d](?:[a-z\d-]{0,30}[a-z\d])?\.){0,8}[a-z][a-z\d-]{0,24}(?::\d{1,5})?$/i;

/**
 * Who is refused hears what they gave in the place of something else, but that may be a secret which stands where it does not
 * belong: a token as the session, a password as the port.
 */
function withoutQuotes(message: string, told: RegExp): string {
  return message.replaceAll(QUOTED, (whole, given: string) => (told.test(given) ? whole : `got "${HIDDEN}"`));
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
