/** Routes that a person's client calls with a token of `/v2/conf`. */
import { originOf } from "../../shared/http/home.ts";
import { listsHtml, listsJson } from "../../shared/http/page.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import { operations } from "../../shared/protocol/operations.ts";
import type { AddAnswer, ProxyAnswer } from "../../shared/protocol/schema/api.ts";
import { route, type Route } from "../http/routes.ts";
import type { Opened, ProxyService } from "./service.ts";

/** `baseUrl` is how others reach this coordinator, without a slash at its end. */
export function proxyRoutes(proxy: ProxyService, baseUrl: () => string): Route[] {
  return [
    route(
      operations.whereToOpen,
      {
        access: "public",
        summary: "Where to open an app (older clients)",
        description: "The URL of /v2/proxy/auth with the same query.",
        failures: [400],
      },
      ({ params, query, request }) => {
        proxy.check(query);
        const url = authUrl(baseUrl(), request.url, params.token, params.session_id);
        return Response.json({ code: 200, url } satisfies AddAnswer, { headers: PRIVATE_HEADERS });
      },
    ),
    route(
      operations.openByQuery,
      {
        access: "public",
        summary: "Open an app",
        description: "JSON with `Accept: application/json`, else 302 to the worker.",
        failures: [400, 401, 404, 409, 429, 503],
        redirects: true,
        keepsRequestId: true,
      },
      async ({ query, request, by }) => {
        const opened = await proxy.open(query, by, siteOf(request.headers));
        return listsJson(request.headers.get("accept")) ? toAnswer(opened) : redirect(opened);
      },
    ),
    route(
      operations.open,
      {
        access: "public",
        summary: "Open an app",
        description: "JSON, or 302 to the worker when `Accept` lists text/html.",
        failures: [400, 401, 404, 409, 429, 503],
        redirects: true,
        keepsRequestId: true,
      },
      async ({ body, request, by }) => {
        const opened = await proxy.open(body, by, siteOf(request.headers));
        return listsHtml(request.headers.get("accept")) ? redirect(opened) : toAnswer(opened);
      },
    ),
    route(
      operations.close,
      {
        access: "public",
        summary: "Close an app",
        description: "Closes the session's circuits of that app; also a success when there are none.",
        failures: [400, 401, 404, 503],
      },
      async ({ params, query, by }) => {
        await proxy.close(params.token, params.session_id, query.app, by);
        return { success: true };
      },
    ),
  ];
}

// --- internal ---

/** A token is asked with, and one is in the answer (security 4). */
const PRIVATE_HEADERS = { "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" };

/** Where the holder of a token comes from: pages of theirs lead back there when no `home_url` is set. */
function siteOf(headers: Headers): string | null {
  return originOf(headers.get("origin"), headers.get("referer"));
}

function authUrl(baseUrl: string, requestUrl: string, token: string, sessionId: string): string {
  const url = new URL(`${baseUrl}/v2/proxy/auth`);
  url.search = pathAndQuery(requestUrl).split("?").slice(1).join("?");
  url.searchParams.set("token", token);
  url.searchParams.set("session_id", sessionId);
  return url.toString();
}

function toAnswer({ redirectUrl, reuse, setupToken, circuitId }: Opened): Response {
  const answer: ProxyAnswer = { redirect_url: redirectUrl, reuse, token: setupToken, circuit_id: circuitId };
  return Response.json(answer, { headers: PRIVATE_HEADERS });
}

function redirect({ redirectUrl }: Opened): Response {
  return new Response(null, {
    status: 302,
    headers: { Location: redirectUrl, ...PRIVATE_HEADERS },
  });
}
