/**
 * Before a WebSocket opens: what the client asked for, what the app answered, and its refusal for the client. Used by
 * websocket.ts, which goes on when both sides agree.
 */
import { Failure } from "../../../shared/failure.ts";
import { edited } from "../../protocols/http1/edited.ts";
import { shakeHands, type Answer } from "../../protocols/websocket/handshake.ts";
import { answerBody, Faulted } from "./http.ts";
import { UpstreamFault } from "../../net/upstream-fault.ts";
import type { Attempt, Forward } from "../../seam/engine.ts";

/** What to answer to a handshake that can't succeed; no app is asked then. */
export function unfitHandshake(headers: Headers): Failure | Response | null {
  // RFC 6455 §4.2.2: with the version that is understood.
  if (headers.get("sec-websocket-version") !== "13")
    return new Response(null, { status: 426, headers: { "Sec-WebSocket-Version": "13" } });
  if (/^[A-Za-z0-9+/]{22}==$/.test(headers.get("sec-websocket-key") ?? "")) return null;
  return new Failure("generic-bad-request", "Sec-WebSocket-Key: wanted 16 bytes in base64");
}

/** Asks the app, and where it can't be connected to another one. */
export async function askApps<C>(
  request: Request,
  target: string,
  to: Forward<C>,
  highWater: number,
): Promise<{ answer: Answer; attempt: Attempt }> {
  const headers = edited(request.headers, to.edits);
  for (let { attempt } = to; ;) {
    const { host, port } = attempt;
    const asked = shakeHands({ host, port, target, headers, highWater, connected: () => attempt.connected() });
    attempt.stop = asked.stop;
    request.signal.addEventListener("abort", asked.stop, { once: true });
    if (request.signal.aborted) asked.stop();
    try {
      const answer = await asked.answer;
      attempt.moved();
      return { answer, attempt };
    } catch (error) {
      const fault = error instanceof UpstreamFault ? error : new UpstreamFault("broken", String(error), error);
      const next = attempt.next(fault, { bodySent: false, clientGone: request.signal.aborted });
      if (next === null) throw new Faulted(fault, attempt);
      attempt = next;
    } finally {
      request.signal.removeEventListener("abort", asked.stop);
    }
  }
}

/** The app's refusal for the client. Rejects with Faulted when it can't be passed on. */
export async function refusal(
  { head: { status, statusText }, body }: Answer & { kind: "refused" },
  headers: Headers,
  attempt: Attempt,
  cut: () => void,
): Promise<Response> {
  if (status >= 200 && status <= 599)
    return new Response(answerBody(null, body.getReader(), attempt, cut), { status, statusText, headers });
  await body.cancel();
  attempt.release();
  throw new Faulted(new UpstreamFault("broken", `status ${status} can't be passed on`), attempt);
}
