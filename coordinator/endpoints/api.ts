/** Routes that the Manager calls for model services. */
import { Elysia } from "elysia";
import { Type } from "@sinclair/typebox";
import type { Log } from "../../shared/runtime/log.ts";
import { RequestIdHeader } from "../../shared/protocol/schema/api.ts";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import type { BulkBody, CreatedItem } from "../../shared/protocol/schema/endpoint.ts";
import { Failure } from "../../shared/failure.ts";
import type { AccessPlugin } from "../http/access.ts";
import { requestIdentity } from "../http/request-id.ts";
import { answers, models } from "../http/models.ts";
import * as items from "./items.ts";
import type { RouteService } from "./routes.ts";
import type { EndpointService, Synced } from "./service.ts";
import type { EndpointTokens } from "./token.ts";

const tags = ["Model services"];
const params = Type.Object({ endpoint_id: Uuid });

export interface EndpointServices {
  endpoints: EndpointService;
  routes: RouteService;
  tokens: EndpointTokens;
}

export function endpointRoutes(access: AccessPlugin, { endpoints, routes, tokens }: EndpointServices, log: Log) {
  const idOf = (request: Request) => requestIdentity(request.headers, log);
  return new Elysia({ name: "endpoints" })
    .use(access)
    .use(models)
    .post(
      "/v2/endpoints/bulk",
      async ({ body, request }) => {
        const judged = items.judgeEndpoints(renamed(body));
        const outcomes = await endpoints.sync(judged, idOf(request));
        return { endpoints: outcomes.map((outcome, at) => created(judged[at]?.id ?? "", outcome)) };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        body: "BulkEndpoints",
        response: answers("BulkCreated", 400, 401, 413),
        detail: {
          tags,
          summary: "Create or update many",
          description:
            "Answers in the order of the request. An entry that failed says why; without a circuit its `url` is null.",
        },
      },
    )
    .delete(
      "/v2/endpoints/bulk",
      ({ body, request }) => {
        const ids = items.judgeDeletions(renamed(body)).map(({ id }) => id);
        endpoints.remove(ids, idOf(request));
        return { endpoints: ids.map((id) => ({ deployment_id: id, success: true, error: null })) };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        body: "BulkDelete",
        response: answers("BulkOutcome", 400, 401, 413),
        detail: { tags, summary: "Delete many", description: "Those that are gone already count as deleted." },
      },
    )
    .post(
      "/v2/endpoints/bulk/routes",
      async ({ body, request }) => ({
        endpoints: await routes.replace(items.judgeRoutes(renamed(body)), idOf(request)),
      }),
      {
        access: "api",
        headers: RequestIdHeader,
        body: "BulkRoutes",
        response: answers("BulkOutcome", 400, 401, 413),
        detail: { tags, summary: "Replace the routes of many", description: "`[]` means no traffic." },
      },
    )
    .post(
      "/v2/endpoints/bulk/routes/register",
      async ({ body, request }) => ({
        endpoints: await routes.register(items.judgeRoutes(renamed(body)), idOf(request)),
      }),
      {
        access: "api",
        headers: RequestIdHeader,
        body: "BulkRoutes",
        response: answers("BulkRegistered", 400, 401, 413),
        detail: {
          tags,
          summary: "Add routes to many",
          description: "A route id that is there already stays as it is.",
        },
      },
    )
    .post(
      "/v2/endpoints/bulk/routes/unregister",
      async ({ body, request }) => ({
        endpoints: await routes.unregister(items.judgeUnregistrations(renamed(body)), idOf(request)),
      }),
      {
        access: "api",
        headers: RequestIdHeader,
        body: "BulkUnregister",
        response: answers("BulkUnregistered", 400, 401, 413),
        detail: { tags, summary: "Take routes from many" },
      },
    )
    .post(
      "/v2/endpoints/:endpoint_id",
      async ({ params: { endpoint_id: id }, body, request }) => {
        const [outcome] = await endpoints.sync([{ id: id.toLowerCase(), item: body }], idOf(request));
        if (outcome === undefined || outcome instanceof Failure) throw outcome ?? new Failure("internal-server-error");
        if (outcome.failure !== undefined) throw outcome.failure;
        return { success: true, endpoint: outcome.url, health_check_enabled: outcome.healthCheckEnabled };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        params,
        body: "EndpointRequest",
        response: answers("EndpointAnswer", 400, 401, 409, 413, 503),
        detail: {
          tags,
          summary: "Create or update an endpoint",
          description:
            "The same call again gives the same URL; `open_to_public` and `health_check` are brought up to date.",
        },
      },
    )
    .delete(
      "/v2/endpoints/:endpoint_id",
      ({ params: { endpoint_id: id }, request }) => {
        endpoints.remove([id.toLowerCase()], idOf(request));
        return { success: true };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        params,
        response: answers("Success", 400, 401),
        detail: { tags, summary: "Delete an endpoint", description: "Also a success when it is gone already." },
      },
    )
    .put(
      "/v2/endpoints/:endpoint_id/health-check",
      async ({ params: { endpoint_id: id }, body, request }) => {
        await endpoints.setHealthCheck(id.toLowerCase(), body.health_check, idOf(request));
        return { success: true };
      },
      {
        access: "api",
        headers: RequestIdHeader,
        params,
        body: "HealthCheckRequest",
        response: answers("Success", 400, 401, 404, 413),
        detail: { tags, summary: "Set how kernels are probed", description: "`null`: not at all." },
      },
    )
    .post(
      "/v2/endpoints/:endpoint_id/token",
      async ({ params: { endpoint_id: id }, body }) => ({ token: await tokens.mint(id.toLowerCase(), body) }),
      {
        access: "api",
        params,
        body: "TokenRequest",
        response: answers("TokenAnswer", 400, 401, 404, 413),
        detail: {
          tags,
          summary: "Make a token for clients",
          description: "For `Authorization: Bearer`. It lives until `exp`, at most ten years.",
        },
      },
    );
}

// --- internal ---

/** Older Managers write `endpoint_id` for `deployment_id`. */
function renamed({ endpoints }: BulkBody): BulkBody {
  return {
    endpoints: endpoints.map((one: { deployment_id?: unknown; endpoint_id?: unknown }) => ({
      ...one,
      deployment_id: one.deployment_id === undefined ? one.endpoint_id : one.deployment_id,
    })),
  };
}

function created(id: string, outcome: Synced | Failure): CreatedItem {
  if (outcome instanceof Failure)
    return { deployment_id: id, url: null, health_check_enabled: false, success: false, error: outcome.message };
  const { url, healthCheckEnabled, failure } = outcome;
  const error = failure?.message ?? null;
  return { deployment_id: id, url, health_check_enabled: healthCheckEnabled, success: error === null, error };
}
