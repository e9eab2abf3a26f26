/**
 * The coordinator's one way out for failures: whatever was thrown becomes a problem document, or a page for people.
 * Last line: a fixed sentence, so that no raw message of an unexpected error leaves the service.
 */
import type { Elysia } from "elysia";
import { ValidationError } from "elysia";
import { Failure, reason } from "../../shared/failure.ts";
import { failureAnswer, wantsPage } from "../../shared/http/page.ts";
import { readerOf } from "../../shared/pages/reader.ts";
import { redactUrl, type Log } from "../../shared/runtime/log.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import { describeFaults } from "./validation.ts";

/** The failure that a thrown value stands for. `hasPath` says whether the path exists under another method. */
export function toFailure(error: unknown, code: string | number, hasPath: () => boolean): Failure {
  if (error instanceof Failure) return error;
  // Elysia wraps what a body parser throws.
  if (error instanceof Error && error.cause instanceof Failure) return error.cause;
  if (code === "NOT_FOUND") return new Failure(hasPath() ? "method-not-allowed" : "url-not-found");
  if (error instanceof ValidationError && error.type !== "response") {
    const faults = describeFaults(error);
    return new Failure("invalid-api-params", {
      msg: faults.map((fault) => fault.text).join("; "),
      data: { fields: faults.map(({ text: _text, ...rest }) => rest) },
    });
  }
  if (code === "PARSE") return new Failure("invalid-api-params", { msg: "body: cannot be read", cause: error });
  return new Failure("internal-server-error", { msg: "Unexpected error; the log has its details", cause: error });
}

/** The answer to a failed request. */
export function answerFailure(
  app: Elysia,
  { log, home }: { log: Log; home: string | null },
  failed: { error: unknown; code: string | number; request: Request; path: string },
): Response {
  const { error, code, request, path } = failed;
  const failure = toFailure(error, code, () => hasRoute(app, path));
  const errorId = crypto.randomUUID();
  report(log, failure, error, errorId, request);
  const answer = failureAnswer(
    failure,
    isForPeople(path) && wantsPage((name) => request.headers.get(name)) ? "html" : "json",
    { errorId, ...readerOf((name) => request.headers.get(name)), home },
  );
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}

// --- internal ---

/** People's browsers come nowhere else. */
function isForPeople(path: string): boolean {
  return path.startsWith("/v2/proxy/");
}

function hasRoute(app: Elysia, path: string): boolean {
  const asked = path.replace(/\/$/, "").split("/");
  return app.routes.some((route) => {
    const parts = route.path.split("/");
    return parts.length === asked.length && parts.every((part, at) => part.startsWith(":") || part === asked[at]);
  });
}

function report(log: Log, failure: Failure, error: unknown, errorId: string, request: Request): void {
  const url = redactUrl(pathAndQuery(request.url));
  const line = { error_id: errorId, method: request.method, url, status: failure.httpStatus, reason: failure.message };
  if (failure.kind !== "internal-server-error")
    log[failure.httpStatus >= 500 ? "warn" : "info"](line, "request refused");
  else
    log.error(
      { ...line, cause: reason(error), stack: error instanceof Error ? error.stack : undefined },
      "request failed",
    );
}
