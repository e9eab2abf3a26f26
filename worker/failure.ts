/** The one place that turns a failure on the data plane into an answer, and an upstream fault into a failure. */
import { Failure, reason } from "../shared/failure.ts";
import type { Log } from "../shared/log.ts";
import { redactUrl } from "../shared/log.ts";
import { failureAnswer, listsJson, type Answer } from "../shared/page.ts";
import type { Forward, RequestHead } from "./engine/engine.ts";
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
  return failureAnswer(failure, listsJson(head.header("accept")) ? "json" : "html", about);
}

/** What an upstream fault means to the client. A client that has left is no fault: the engine sees that first. */
export function upstreamFault(error: unknown, to: Forward): Failure {
  const cause = new Error(`${to.host}:${to.port}: ${reason(error)}`, { cause: error });
  return new Failure("appproxy/container-connection-refused", { msg: "The app does not answer", cause });
}
