/**
 * Before a WebSocket opens: what the client asked for, what the app answered, and its refusal for the client. Used by
 * websocket.ts, which goes on when both sides agree.
 */
import { edited } from "../../protocols/http1/edited.ts";
import { shakeHands, type Answer, type Asking } from "../../protocols/websocket/handshake.ts";
import { answerBody, Faulted } from "./http.ts";
import type { ServedClient } from "./served-client.ts";
import { UpstreamFault } from "../../net/upstream-fault.ts";
import type { Attempt, Forward } from "../../seam/engine.ts";

/** Asks the app, and where it can't be connected to another one. */
export async function askApps<C>(
  request: Request,
  target: string,
  forward: Forward<C>,
  { highWater, connections }: Pick<Asking, "highWater" | "connections">,
): Promise<{ answer: Answer; attempt: Attempt }> {
  const headers = edited(request.headers, forward.edits);
  for (let { attempt } = forward; ;) {
    const { target: to } = attempt;
    const connected = () => attempt.connected(true);
    const counted = connections === undefined ? {} : { connections };
    const asked = shakeHands({ to, target, headers, highWater, connected, ...counted });
    attempt.stop = asked.stop;
    request.signal.addEventListener("abort", asked.stop, { once: true });
    if (request.signal.aborted) asked.stop();
    try {
      const answer = await asked.answer;
      attempt.moved();
      return { answer, attempt };
    } catch (error) {
      const fault = error instanceof UpstreamFault ? error : new UpstreamFault("broken", String(error), error);
      const next = attempt.next(fault, { hasBody: false, clientGone: request.signal.aborted, stale: false });
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
  client: ServedClient,
): Promise<Response> {
  if (status >= 200 && status <= 599)
    return new Response(answerBody(null, body.getReader(), attempt, client), { status, statusText, headers });
  await body.cancel();
  attempt.release();
  throw new Faulted(new UpstreamFault("broken", `status ${status} can't be passed on`), attempt);
}
