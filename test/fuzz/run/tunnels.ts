/** Requests that an app switches to another protocol: what follows them on the connection is no HTTP, and passes as it is. */
import { membersOf } from "../model/fields.ts";
import { readRequests, type Request, type Verdict } from "../model/requests.ts";

export interface Expected extends Verdict {
  /** What passes behind the last request as it is; null where no app switches. */
  tunnel: string | null;
}

/** The model's verdict of a stream, up to the request with which HTTP ends. */
export function expectedOf(bytes: string): Expected {
  const verdict = readRequests(bytes);
  const at = verdict.requests.findIndex((request) => protocolOf(request) !== null);
  const last = verdict.requests[at];
  if (last === undefined) return { ...verdict, tunnel: null };
  const requests = verdict.requests.slice(0, at + 1);
  return { requests, stop: { kind: "closed" }, at: last.end, tunnel: bytes.slice(last.end) };
}

/**
 * RFC 9110 §7.8: what the app switches to; null where nothing is offered, and for half of the offers. Chosen: an offer beside a
 * body, or in which the word h2c stands, is passed over.
 */
export function protocolOf({ fields, minor, framing, target, refusedWith }: Request): string | null {
  const [first, ...more] = membersOf(fields, "upgrade");
  const hasBody = framing.kind === "chunked" || (framing.kind === "length" && framing.length > 0);
  if (first === undefined || minor === 0 || hasBody || refusedWith !== null) return null;
  if (!membersOf(fields, "connection").includes("upgrade") || [first, ...more].some((one) => /\bh2c\b/.test(one)))
    return null;
  return target.length % 2 === 0 ? first : null;
}
