/** The request id that the platform gave to a request. It is taken, checked and passed on; it is never made here. */
import type { Log } from "../../shared/runtime/log.ts";

const ALLOWED = /^[A-Za-z0-9._:-]{1,128}$/;

/**
 * Reads `X-Backend-Request-ID`, or `X-BackendAI-RequestID` (today's Manager) when that is absent or empty.
 * Absent: null. Not 1–128 characters of `[A-Za-z0-9._:-]`: null, and the log says so.
 */
export function requestIdentity(headers: Headers, log: Log): string | null {
  const given = givenIn(headers);
  if (given === null || ALLOWED.test(given)) return given;
  // Not what it is: in the place of an id may stand a token.
  log.warn({ length: given.length }, "request id not stored: wanted 1 to 128 characters of [A-Za-z0-9._:-]");
  return null;
}

/** The same, without a word of one that may not be kept: for the line of a call that is refused. */
export function knownRequestId(headers: Headers): string | null {
  return asRequestId(givenIn(headers));
}

/** A value that the platform has put where its request id stands; null when it is none that may be kept. */
export function asRequestId(value: unknown): string | null {
  return typeof value === "string" && ALLOWED.test(value) ? value : null;
}

// --- internal ---

function givenIn(headers: Headers): string | null {
  const names = ["x-backend-request-id", "x-backendai-requestid"];
  return names.map((name) => headers.get(name)).find((value) => value !== null && value !== "") ?? null;
}
