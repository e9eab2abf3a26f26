/**
 * The coordinator's one way out for failures: whatever was thrown becomes a problem document, or a page for people.
 * Last line: a fixed sentence, so that no raw message of an unexpected error leaves the service.
 */
import type { Elysia } from "elysia";
import { ValidationError } from "elysia";
import { Failure, methodNotAllowed, toFailure } from "../../shared/failure.ts";
import { failureAnswer, wantsPage } from "../../shared/http/page.ts";
import { reportFailure } from "../../shared/runtime/report-failure.ts";
import { readerOf } from "../../shared/pages/reader.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import { isForPages, isForPeople } from "./cors.ts";
import { peerOf } from "./peer.ts";
import { knownRequestId } from "./request-id.ts";
import { describeFaults } from "./validation.ts";

/** The answer to a failed request. */
export function answerFailure(
  app: Elysia,
  { log, home }: { log: Log; home: string | null },
  failed: { error: unknown; code: string | number; request: Request; path: string },
): Response {
  const { error, code, request, path } = failed;
  const failure = failureOf(error, code, () => methodsOf(app, path));
  const errorId = reportFailure(log, failure, {
    error_id: crypto.randomUUID(),
    method: request.method,
    url: pathAndQuery(request.url),
    peer: peerOf(request, app.server) ?? undefined,
    request_id: knownRequestId(request.headers) ?? undefined,
  });
  const answer = failureAnswer(
    failure,
    isForPeople(path) && wantsPage((name) => request.headers.get(name)) ? "html" : "json",
    { errorId, ...readerOf((name) => request.headers.get(name)), home, closed: !isForPages(path) },
  );
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}

// --- internal ---

/** The failure that a thrown value stands for here. `methods` gives those that the path has; none where it is unknown. */
function failureOf(error: unknown, code: string | number, methods: () => string[]): Failure {
  if (error instanceof Failure) return error;
  // Elysia wraps what a body parser throws.
  if (error instanceof Error && error.cause instanceof Failure) return error.cause;
  if (code === "NOT_FOUND") {
    const allow = methods();
    return allow.length > 0 ? methodNotAllowed(allow) : new Failure("url-not-found");
  }
  if (error instanceof ValidationError && error.type !== "response") {
    const faults = describeFaults(error);
    return new Failure("invalid-api-params", {
      msg: faults.map((fault) => fault.text).join("; "),
      data: { fields: faults.map(({ text: _text, ...rest }) => rest) },
    });
  }
  if (code === "PARSE") return new Failure("invalid-api-params", { msg: "body: cannot be read", cause: error });
  return toFailure(error);
}

/** The methods of a path, with those that Elysia and the preflight answer for all; none where the path is unknown. */
function methodsOf(app: Elysia, path: string): string[] {
  const asked = path.replace(/(?<=.)\/$/, "").split("/");
  const routes = app.routes.filter((route) => {
    const parts = route.path.split("/");
    return parts.length === asked.length && parts.every((part, at) => part.startsWith(":") || part === asked[at]);
  });
  if (routes.length === 0) return [];
  const own = routes.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  return [...new Set([...own, "OPTIONS"])];
}
