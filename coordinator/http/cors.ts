/**
 * Which routes pages of other origins may call and read. The WebUI comes from elsewhere and opens apps by `/v2/proxy/…` with a
 * token in the URL; a few others tell everybody what this is. All else is for programs (Manager, workers, operators, Prometheus)
 * and for Swagger UI, whose origin is ours: a browser lets no other page read those answers, nor send what needs a preflight.
 */
import { CORS_HEADERS } from "../../shared/http/page.ts";

/** Whether pages of any origin may read the answers of a path. */
export function isForPages(path: string): boolean {
  return isForPeople(path) || FOR_EVERYBODY.has(path);
}

/** Whether people's browsers come there. */
export function isForPeople(path: string): boolean {
  return path.startsWith("/v2/proxy/");
}

/** The answer to `OPTIONS`, which asks for a page of another origin what it may send. */
export function preflight(path: string): Response {
  return new Response(null, { status: 204, headers: isForPages(path) ? PREFLIGHT : [] });
}

// --- internal ---

const FOR_EVERYBODY = new Set(["/", "/status", "/health", "/health/livez", "/health/readyz"]);
const PREFLIGHT: [string, string][] = [
  ...CORS_HEADERS,
  ["Access-Control-Allow-Methods", "GET, POST, OPTIONS"],
  ["Access-Control-Allow-Headers", "Authorization, Content-Type, X-Backend-Request-ID"],
  ["Access-Control-Max-Age", "600"],
];
