/** Routes that a person's client calls with a token of `/v2/conf`. */
import { Elysia } from "elysia";
import { Type } from "@sinclair/typebox";
import { originOf } from "../../shared/http/home.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { listsJson } from "../../shared/http/page.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import {
  CloseQuery,
  ProxyRequest,
  ProxyWish,
  RequestIdHeader,
  type ProxyAnswer,
} from "../../shared/protocol/schema/api.ts";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import type { AccessPlugin } from "../http/access.ts";
import { requestIdentity } from "../http/request-id.ts";
import { answers, models } from "../http/models.ts";
import type { Opened, ProxyService } from "./service.ts";

const tags = ["Apps"];
const params = Type.Object({ token: Uuid, session_id: Uuid });

/** `baseUrl` is how others reach this coordinator, without a slash at its end. */
export function proxyRoutes(access: AccessPlugin, proxy: ProxyService, baseUrl: () => string, log: Log) {
  return new Elysia({ name: "proxy" })
    .use(access)
    .use(models)
    .get(
      "/v2/proxy/:token/:session_id/add",
      ({ params: { token, session_id: sessionId }, query, request }) => {
        proxy.check(query);
        return { code: 200 as const, url: authUrl(baseUrl(), request.url, token, sessionId) };
      },
      {
        access: "public",
        asked: ProxyWish,
        params,
        query: ProxyWish,
        response: answers("AddAnswer", 400),
        detail: {
          tags,
          summary: "Where to open an app (older clients)",
          description: "The URL of /v2/proxy/auth with the same query.",
        },
      },
    )
    .get(
      "/v2/proxy/auth",
      async ({ query, request }) => {
        const opened = await proxy.open(query, requestIdentity(request.headers, log), siteOf(request.headers));
        return listsJson(request.headers.get("accept")) ? toAnswer(opened) : redirect(opened);
      },
      {
        access: "public",
        asked: ProxyRequest,
        headers: RequestIdHeader,
        query: ProxyRequest,
        response: answers("ProxyAnswer", 400, 401, 404, 409, 503),
        detail: {
          tags,
          summary: "Open an app",
          description: "JSON with `Accept: application/json`, else 302 to the worker.",
        },
      },
    )
    .post(
      "/v2/proxy/auth",
      async ({ body, request }) => {
        const opened = await proxy.open(body, requestIdentity(request.headers, log), siteOf(request.headers));
        return /\btext\/html\b/i.test(request.headers.get("accept") ?? "") ? redirect(opened) : toAnswer(opened);
      },
      {
        access: "public",
        headers: RequestIdHeader,
        body: "ProxyRequest",
        response: answers("ProxyAnswer", 400, 401, 404, 409, 413, 503),
        detail: {
          tags,
          summary: "Open an app",
          description: "JSON, or 302 to the worker when `Accept` lists text/html.",
        },
      },
    )
    .get(
      "/v2/proxy/:token/:session_id/delete",
      ({ params: { token, session_id: sessionId }, query, request }) => {
        proxy.close(token, sessionId, query.app, requestIdentity(request.headers, log));
        return { success: true };
      },
      {
        access: "public",
        asked: CloseQuery,
        params,
        query: CloseQuery,
        response: answers("Success", 400, 401, 404),
        detail: {
          tags,
          summary: "Close an app",
          description: "Closes the session's circuits of that app; also a success when there are none.",
        },
      },
    );
}

// --- internal ---

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
  return Response.json(answer, { headers: { "Cache-Control": "no-store" } });
}

function redirect({ redirectUrl }: Opened): Response {
  return new Response(null, {
    status: 302,
    headers: { Location: redirectUrl, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" },
  });
}
