/** The one place that turns a failure on the data plane into an answer, and an upstream fault into a failure. */
import { Failure, reason } from "../shared/failure.ts";
import type { Log } from "../shared/log.ts";
import { redactUrl } from "../shared/log.ts";
import { failureAnswer, listsHtml, wantsPage, type Answer } from "../shared/page.ts";
import type { Passage, RequestHead, UpstreamFault } from "./engine/engine.ts";
import type { Entry } from "./table.ts";

/** The answer for a failure; its error id is also in the log. */
export function answerFor(failure: Failure, head: RequestHead, entry: Entry | undefined, log: Log): Answer {
  const errorId = crypto.randomUUID();
  const level = failure.httpStatus >= 500 ? "warn" : "info";
  log[level](
    {
      error_id: errorId,
      circuit: entry?.circuit.id,
      status: failure.httpStatus,
      reason: failure.message,
      ...(failure.cause === undefined ? {} : { cause: reason(failure.cause) }),
      method: head.method,
      url: redactUrl(head.target),
    },
    "request refused",
  );
  // Who was not let in learns nothing of the app.
  const about = entry === undefined || failure.httpStatus < 500 ? { errorId } : { app: entry.circuit.app, errorId };
  const isStarting = failure.kind === "appproxy/container-starting";
  const isModel = entry?.circuit.app_mode === "inference";
  const answer = failureAnswer(failure, wantsPage((name) => head.header(name)) ? "html" : "json", {
    ...about,
    reload: isStarting && isNavigation(head),
    ...(isModel ? { more: { error: modelError(failure) } } : {}),
  });
  if (isStarting) return { ...answer, headers: [...answer.headers, ["Retry-After", "1"]] };
  // RFC 9110 §11.6.1: a 401 says which credential is wanted. A browser's page would ask for no token, so only here.
  return failure.httpStatus === 401 && isModel
    ? { ...answer, headers: [...answer.headers, ["WWW-Authenticate", "Bearer"]] }
    : answer;
}

/** What an upstream fault means to the client. A client that has left is no fault: the engine sees that first. */
export function upstreamFault(fault: UpstreamFault, to: Passage): Failure {
  const cause = new Error(`${to.host}:${to.port}: ${reason(fault)}`, { cause: fault });
  switch (fault.kind) {
    case "unreachable":
      return to.starting
        ? new Failure("appproxy/container-starting", { msg: "The app does not listen yet", cause })
        : new Failure("appproxy/container-connection-refused", { msg: "The app does not answer", cause });
    case "late":
      return new Failure("appproxy/container-connection-timeout", { msg: "The app does not answer", cause });
    case "broken":
      return new Failure("appproxy/container-connection-refused", { msg: "The app broke off", cause });
    case "revoked":
      return new Failure("service-unavailable", { msg: "The app has moved; try again", cause });
  }
}

// --- internal ---

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
