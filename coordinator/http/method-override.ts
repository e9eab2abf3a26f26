/**
 * `X-Method-Override` on a POST, for callers behind proxies that let only GET and POST pass. Only callers who hold the
 * api_secret, or a worker's own, may use it; what they may call is judged later.
 */
import { Failure } from "../../shared/failure.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import type { Authenticator } from "./auth.ts";

const HEADER = "x-method-override";
const METHODS = new Set(["GET", "PUT", "PATCH", "DELETE"]);

/** The request that is meant, when the header says that it is another one. Rejects with auth-failed or generic-bad-request. */
export async function effectiveRequest(request: Request, authenticator: Authenticator): Promise<Request | null> {
  const given = request.method === "POST" ? request.headers.get(HEADER) : null;
  if (given === null) return null;
  await authenticator.worker(request.headers);
  const method = given.trim().toUpperCase();
  if (method === "POST") return null;
  if (!METHODS.has(method))
    throw new Failure(
      "generic-bad-request",
      `X-Method-Override: wanted one of ${[...METHODS].join(", ")}, got ${shown(given)}`,
    );
  const headers = new Headers(request.headers);
  headers.delete(HEADER);
  // Without a usable Host Bun's url is a bare target.
  return new Request(`http://localhost${pathAndQuery(request.url)}`, {
    method,
    headers,
    body: method === "GET" ? null : request.body,
  });
}

// --- internal ---

function shown(given: string): string {
  return JSON.stringify(given.slice(0, 40));
}
