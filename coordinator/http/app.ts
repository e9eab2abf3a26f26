/** What all routes share: how failures are answered, calls counted, bodies read, methods overridden, CORS. */
import { Elysia } from "elysia";
import { CORS_HEADERS } from "../../shared/http/page.ts";
import { pathOf } from "../../shared/http/target.ts";
import type { Deps } from "../deps.ts";
import type { Authenticator } from "./auth.ts";
import { readBody } from "./body.ts";
import type { Callers } from "./callers.ts";
import { isForPages, preflight } from "./cors.ts";
import { answerFailure } from "./errors.ts";
import { effectiveRequest } from "./method-override.ts";
import { inheritPeer } from "./peer.ts";

/** An app without routes. `answered` is told of each call: its method, the pattern of its route, its status. */
export function createHttpApp(
  { config, log }: Deps,
  authenticator: Authenticator,
  callers: Callers,
  answered: (method: string, route: string, status: number) => void,
): Elysia {
  // A Host of fewer than four characters misroutes without standardHostname: false. Elysia's default normaliser runs
  // before the check and turns `[1]` into `{"0": 1}` where an object is wanted; TypeBox's does not.
  const app: Elysia = new Elysia({ handler: { standardHostname: false }, normalize: "typebox" });
  app.onError((failed) => {
    const answer = answerFailure(
      app,
      { log, home: config.proxy_coordinator.home_url },
      { ...failed, path: pathOf(failed.request.url) },
    );
    failed.set.status = answer.status;
    return answer;
  });
  app.onAfterResponse(({ request, route, set, responseValue }) => {
    const status = responseValue instanceof Response ? responseValue.status : Number(set.status ?? 200);
    callers.ended(request);
    answered(request.method, route ?? "", status);
  });
  app.onRequest(({ request, set }) => {
    const path = pathOf(request.url);
    if (request.method === "OPTIONS") return preflight(path);
    if (isForPages(path)) for (const [name, value] of CORS_HEADERS) set.headers[name] = value;
    return undefined;
  });
  app.onRequest(async ({ request, server }) => {
    const meant = await effectiveRequest(request, authenticator);
    if (meant === null && isRead(request)) return undefined;
    callers.began(request, server);
    if (meant === null) return undefined;
    inheritPeer(meant, request, server);
    return app.handle(meant).finally(() => callers.ended(request));
  });
  const isTrusted = (request: Request) =>
    authenticator.worker(request.headers).then(
      () => true,
      () => false, // a stranger's body is held to the small limit, and refused later if its route wants a secret
    );
  const { max_body_bytes: small, max_bulk_body_bytes: large } = config.proxy_coordinator;
  app.onParse(async ({ request, server }) => {
    const body = await readBody(request, { small, large, isTrusted: () => isTrusted(request) });
    // Before, it may make way like any other that is quiet: whose it is is not known yet.
    callers.began(request, server);
    return body;
  });
  return app;
}

// --- internal ---

/** Whether it has a body that is read before its call: of GET and HEAD none is. */
function isRead({ method, headers }: Request): boolean {
  return method !== "GET" && method !== "HEAD" && hasBody(headers);
}

function hasBody(headers: Headers): boolean {
  return headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0;
}
