/** The one place that turns a failure on the data plane into an answer, and an upstream fault into a failure. */
import { Failure, reason, type FailureKind } from "../../shared/failure.ts";
import { hostPort } from "../../shared/values.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { redactUrl } from "../../shared/runtime/redact.ts";
import { reportFailure, type FailureContext } from "../../shared/runtime/report-failure.ts";
import { failureAnswer, listsHtml, pageOf, wantsPage, type About, type Answer } from "../../shared/http/page.ts";
import { BEHAVIOURS } from "../../shared/pages/kinds.ts";
import { readerOf, scrollsAtRefresh } from "../../shared/pages/reader.ts";
import type { UpstreamFault } from "../net/upstream-fault.ts";
import type { Attempt, RequestHead } from "../seam/engine.ts";
import { clientOf, type Proxies } from "../http/client-address.ts";
import { slotAsked } from "./resolve.ts";
import type { Homes } from "../circuits/homes.ts";
import type { Entry } from "../circuits/table.ts";
import { meet, type Trouble } from "../circuits/trouble.ts";

export interface FailureDeps {
  homes: Homes;
  log: Log;
  proxies: Proxies;
  /** The wildcard domain with its leading dot. */
  domain: string | null;
  /** Epoch milliseconds. */
  now: () => number;
}

/** The answer for a failure; its error id is also in the log. */
export function answerFor(failure: Failure, head: RequestHead, entry: Entry | null, deps: FailureDeps): Answer {
  const { log, now } = deps;
  const met = isApps(failure) && entry !== null ? meet(entry, pageOf(failure), now()) : null;
  const { method, target: url } = head;
  const about = { circuit: entry?.circuit.id, method, url };
  const peer = clientOf(head, deps.proxies).address;
  // What goes on with an app is told once; every page that loads itself again would write a line.
  if (met?.isNew === true) reportFailure(log, failure, { error_id: met.trouble.errorId, ...about });
  const errorId = met?.trouble.errorId ?? tell(log, failure, { error_id: crypto.randomUUID(), ...about, peer });
  const form = wantsPage((name) => head.header(name)) ? "html" : "json";
  const answer = failureAnswer(failure, form, {
    errorId,
    ...aboutModel(failure, entry),
    ...(form === "html" ? aboutReader(head, entry, deps) : {}),
    // Who was not let in learns nothing of the app.
    ...(met === null ? {} : aboutApp(failure, head, met.trouble, entry?.circuit.app, now())),
  });
  const retryAfter = RETRY_AFTER[failure.kind];
  if (retryAfter !== undefined) answer.headers.push(["Retry-After", retryAfter]);
  if (wantsToken(failure, entry)) answer.headers.push(["WWW-Authenticate", "Bearer"]);
  return answer;
}

/** What an upstream fault means to the client. A client that has left is no fault: the engine sees that first. */
export function upstreamFault(fault: UpstreamFault, to: Attempt): Failure {
  const cause = new Error(`${hostPort(to.target)}: ${reason(fault)}`, { cause: fault });
  switch (fault.kind) {
    case "unreachable":
      return to.starting
        ? new Failure("appproxy/container-starting", { msg: "The app does not listen yet", cause })
        : new Failure("appproxy/container-connection-refused", { msg: "The app does not answer", cause });
    case "refused":
      return new Failure("appproxy/container-connection-refused", {
        msg: "The app's address is not one that apps may have",
        page: "bad-address",
        cause,
      });
    case "late":
      return new Failure("appproxy/container-connection-timeout", { msg: "The app does not answer", cause });
    case "broken":
      return new Failure("appproxy/container-connection-refused", {
        msg: "The app broke off",
        page: "broken-off",
        cause,
      });
    case "revoked":
      return new Failure("service-unavailable", { msg: "The app has moved; try again", page: "moved", cause });
  }
}

// --- internal ---

/** Failures with 5xx that say nothing of an app. */
const OURS: ReadonlySet<FailureKind> = new Set(["internal-server-error", "appproxy/loop"]);

/** When it may be otherwise. Seconds. */
const RETRY_AFTER: Partial<Record<FailureKind, string>> = {
  "appproxy/container-starting": "1",
  "appproxy/too-many-connections": "5",
  "appproxy/opened-too-often": "60",
};

/**
 * An error of ours is not the app's, nor is a lack of room, and who meets it may not have been let in; nor what a client alone
 * brings about: anybody may send the line that says how often a request has come round.
 */
function isApps(failure: Failure): boolean {
  return failure.httpStatus >= 500 && !OURS.has(failure.kind) && !isCrowded(failure);
}

function isCrowded({ kind }: Failure): boolean {
  return kind === "appproxy/too-many-connections";
}

/** Gives the error id under which it is in the log. */
function tell(log: Log, failure: Failure, about: FailureContext): string | undefined {
  if (!isCrowded(failure)) return reportFailure(log, failure, about);
  // A flood is told as a whole (shared/net/crowding.ts).
  log.debug({ ...about, url: redactUrl(about.url ?? ""), reason: failure.message }, "request refused");
  return about.error_id;
}

/** RFC 9110 §11.6.1: a 401 says which credential is wanted. A browser's page would ask for no token, so only here. */
function wantsToken(failure: Failure, entry: Entry | null): boolean {
  return failure.httpStatus === 401 && entry?.circuit.app_mode === "inference";
}

/** Who reads a page, and where they open apps. */
function aboutReader(head: RequestHead, entry: Entry | null, { homes, domain }: FailureDeps): About {
  return { ...readerOf((name) => head.header(name)), home: homes.of(slotAsked(head, domain), entry?.circuit.id) };
}

/** Clients of a model service read its errors in the form of OpenAI's. */
function aboutModel(failure: Failure, entry: Entry | null): About {
  if (entry?.circuit.app_mode !== "inference") return {};
  const page = wantsToken(failure, entry) ? { page: "service-token" as const } : {};
  return { more: { error: modelError(failure) }, ...page };
}

/** What a page says of an app to who was let in, and when it looks again: soon, and slower the longer there is nothing. */
function aboutApp(failure: Failure, head: RequestHead, trouble: Trouble, app: string | undefined, now: number): About {
  const seconds = Math.max(0, (now - trouble.since) / 1000);
  const after = Math.min(15, Math.ceil((failure.kind === "appproxy/container-starting" ? 1 : 2) + seconds / 20));
  const reload = { after, frameset: scrollsAtRefresh(head.header("user-agent")) };
  const retries = BEHAVIOURS[trouble.kind].retries === true && isNavigation(head);
  return { app, seconds: seconds < 1 ? undefined : seconds, ...(retries ? { reload } : {}) };
}

/** A person looks at the answer: a page that reloads itself does what they want. */
function isNavigation(head: RequestHead): boolean {
  if (head.method !== "GET" || head.upgrade) return false;
  const mode = head.header("sec-fetch-mode");
  // Browsers leave it out on plain http from elsewhere than localhost.
  return mode === null ? listsHtml(head.header("accept")) : mode === "navigate";
}

/** The only part of an error that OpenAI's clients show: with its field names, and types in the words that such services use. */
function modelError(failure: Failure): { message: string; type: string; code: string } {
  const { httpStatus: status } = failure;
  const type = status >= 500 ? "server_error" : (MODEL_ERRORS[status] ?? "invalid_request_error");
  return { message: failure.message, type, code: failure.problem().error_code };
}

const MODEL_ERRORS: Record<number, string> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
};
