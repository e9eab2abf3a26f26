/**
 * The one list of failures and the one error class that carries them.
 * Both services throw `Failure` and turn it into an answer in one place (coordinator/http/errors.ts, worker/core/failure.ts).
 * Types, statuses, titles and codes are fixed by callers that match on them.
 */
interface FailureRow {
  status: number;
  title: string;
  errorCode: string;
}

const BAD_PARAMETERS = "agent_request_invalid-parameters";

/** Keyed by the last part of the problem's `type`. `{object}` in a title is filled in from `Failure.object`. */
export const FAILURES = {
  "url-not-found": row(404, "Unknown URL path.", "agent_request_not-found"),
  "object-not-found": row(404, "E00002: No such {object}.", "agent_read_not-found"),
  "generic-bad-request": row(400, "Bad request.", "agent_request_bad-request"),
  "invalid-api-params": row(400, "Missing or invalid API parameters.", BAD_PARAMETERS),
  "invalid-credentials": row(401, "Authentication credentials not valid.", "agent_auth_unauthorized"),
  "auth-failed": row(401, "Credential/signature mismatch.", "agent_auth_unauthorized"),
  "generic-forbidden": row(403, "Forbidden operation.", "agent_access_forbidden"),
  "client-ip-not-allowed": row(403, "Client address not allowed.", "appproxy_access_forbidden"),
  "method-not-allowed": row(405, "HTTP Method Not Allowed.", "agent_request_bad-request"),
  // Not in the original's table: its framework answered 413 with a body of its own.
  "payload-too-large": row(413, "Request body too large.", "agent_request_bad-request"),
  // Ours: a Host that is none of the service's (RFC 9110 §15.5.20).
  "misdirected-request": row(421, "Misdirected request.", "agent_request_bad-request"),
  "internal-server-error": row(500, "Internal server error.", "agent_generic_internal-error"),
  "service-unavailable": row(503, "Service unavailable.", "agent_generic_unavailable"),
  "appproxy/worker-not-available": row(503, "Worker not available.", "agent_access_not-found"),
  "appproxy/port-not-available": row(409, "Designated port already occupied.", "agent_setup_already-exists"),
  "appproxy/unsupported-protocol": row(400, "Unsupported protocol.", BAD_PARAMETERS),
  "appproxy/container-connection-refused": row(
    502,
    "Cannot connect to Backend.AI kernel.",
    "kernel_access_unreachable",
  ),
  // The original answered 502 or nothing at all in these two cases.
  "appproxy/container-connection-timeout": row(
    504,
    "Backend.AI kernel does not accept the connection in time.",
    "kernel_access_unreachable",
  ),
  // Not in the original's table.
  "appproxy/loop": row(508, "Loop detected.", "agent_request_bad-request"),
  "appproxy/container-starting": row(503, "The app is still starting.", "kernel_access_unreachable"),
  // Not in the original's table: it had no limits. 503 where it is the worker that is full.
  "appproxy/too-many-connections": row(429, "Too many connections.", "appproxy_access_limited"),
  "appproxy/too-many-circuits": row(429, "Too many circuits.", "appproxy_create_limited"),
  "appproxy/opened-too-often": row(429, "Opened too often.", "appproxy_access_limited"),
  "appproxy/worker-registration-error": row(403, "E20013: Failed to register worker.", "agent_create_forbidden"),
  // Ours: the original lets the last one have the record.
  "appproxy/worker-conflict": row(409, "Another worker of this authority is alive.", "agent_create_already-exists"),
  "appproxy/coordinator-connection-error": row(
    502,
    "E20014: Failed to communicate with coordinator.",
    "agent_access_unreachable",
  ),
} as const satisfies Record<string, FailureRow>;

export type FailureKind = keyof typeof FAILURES;

/** What a failure's page is about (pages/kinds.ts). */
export type PageKind =
  | "starting"
  | "refused"
  | "bad-address"
  | "broken-off"
  | "timed-out"
  | "moved"
  | "no-kernel"
  | "no-permit"
  | "framed"
  | "link-used"
  | "link-expired"
  | "bad-link"
  | "other-session"
  | "session-over"
  | "ended"
  | "other-site"
  | "address"
  | "forbidden"
  | "service-token"
  | "not-for-browsers"
  | "port-taken"
  | "no-worker"
  | "not-responding"
  | "too-large"
  | "crowded"
  | "too-often"
  | "too-many-apps"
  | "bad-request"
  | "no-such-page"
  | "wrong-method"
  | "internal";

/** The body of an error answer (RFC 9457 problem details with Backend.AI's `error_code`). */
export interface Problem {
  type: string;
  title: string;
  error_code: string;
  msg?: string;
  data?: unknown;
}

interface FailureDetail {
  /** The status, where it is not the kind's own. */
  status?: number;
  /** The page that people get, where the kind alone does not say which. */
  page?: PageKind;
  /** Where this person opens apps, where that is known. */
  home?: string | undefined;
  /** A link that opens the app in a tab of its own. */
  tab?: string;
  /** What a caller may read and match on; never holds a secret. */
  msg?: string;
  data?: unknown;
  /** Names the thing that was not found. */
  object?: string;
  cause?: unknown;
  /** Of a 405: the methods that the path has (RFC 9110 §15.5.6). */
  allow?: readonly string[];
}

const TYPE_PREFIX = "https://api.backend.ai/probs/";

/** A failure with a known answer. Anything else that is thrown becomes `internal-server-error`. */
export class Failure extends Error {
  readonly kind: FailureKind;
  readonly detail: FailureDetail;

  constructor(kind: FailureKind, detail: FailureDetail | string = {}) {
    const given = typeof detail === "string" ? { msg: detail } : detail;
    super(given.msg ?? titleOf(kind, given.object), given.cause === undefined ? undefined : { cause: given.cause });
    this.name = "Failure";
    this.kind = kind;
    this.detail = given;
  }

  /** HTTP status of the answer. Named so because Elysia treats an error's own `status` specially. */
  get httpStatus(): number {
    return this.detail.status ?? FAILURES[this.kind].status;
  }

  problem(): Problem {
    const { errorCode } = FAILURES[this.kind];
    return {
      type: TYPE_PREFIX + this.kind,
      title: titleOf(this.kind, this.detail.object),
      error_code: errorCode,
      ...(this.detail.msg === undefined ? {} : { msg: this.detail.msg }),
      ...(this.detail.data === undefined ? {} : { data: this.detail.data }),
    };
  }
}

/** The failure for an object that is not there; `what` reads like "circuit". */
export function notFound(what: string): Failure {
  return new Failure("object-not-found", { object: what });
}

/** The failure for a method that a path does not have; `allow` are those that it has. */
export function methodNotAllowed(allow: readonly string[], msg?: string): Failure {
  return new Failure("method-not-allowed", { allow, ...(msg === undefined ? {} : { msg }) });
}

/** The failure that a thrown value stands for: itself, or an error of ours that the log tells in full. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure("internal-server-error", { msg: "Unexpected error; the log has its details", cause: error });
}

/** What a thrown value says, for a log line. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Bun's own words for every refused connection are "Is the computer able to access the url?"; its code says more.
  return error.message.replace(/: Unable to connect\. Is the computer able to access the url\?$/, "");
}

// --- internal ---

function titleOf(kind: FailureKind, object = "object"): string {
  return FAILURES[kind].title.replace("{object}", object);
}

function row(status: number, title: string, errorCode: string): FailureRow {
  return { status, title, errorCode };
}
