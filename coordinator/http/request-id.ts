/** The request id that the platform gave to a request. It is taken, checked and passed on; it is never made here. */
import type { Log } from "../../shared/runtime/log.ts";

const ALLOWED = /^[A-Za-z0-9._:-]{1,128}$/;

/**
 * Reads `X-Backend-Request-ID`, or `X-BackendAI-RequestID` (today's Manager) when that is absent.
 * Absent: null. Not 1–128 characters of `[A-Za-z0-9._:-]`: null, and the log says so.
 */
export function requestIdentity(headers: Headers, log: Log): string | null {
  const given = headers.get("x-backend-request-id") ?? headers.get("x-backendai-requestid");
  if (given === null) return null;
  if (ALLOWED.test(given)) return given;
  // Not what it is: in the place of an id may stand a token.
  log.warn({ length: given.length }, "request id not stored: wanted 1 to 128 characters of [A-Za-z0-9._:-]");
  return null;
}
