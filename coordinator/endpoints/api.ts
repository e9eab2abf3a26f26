/** Routes that the Manager calls for model services. */
import { Failure } from "../../shared/failure.ts";
import { operations } from "../../shared/protocol/operations.ts";
import type { BulkBody, CreatedItem } from "../../shared/protocol/schema/endpoint.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { reportFailure } from "../../shared/runtime/report-failure.ts";
import { route, type Route } from "../http/routes.ts";
import * as items from "./items.ts";
import type { RouteService } from "./routes.ts";
import type { Synced } from "./served.ts";
import type { EndpointService } from "./service.ts";
import type { EndpointTokens } from "./token.ts";

export interface EndpointServices {
  endpoints: EndpointService;
  routes: RouteService;
  tokens: EndpointTokens;
}

/** `log` is told of what nobody expected of one entry of many: the call itself is answered as a success. */
export function endpointRoutes(services: EndpointServices, log: Log): Route[] {
  return [...routesOfMany(services, log), ...routesOfOne(services)];
}

// --- internal ---

function routesOfMany({ endpoints, routes }: EndpointServices, log: Log): Route[] {
  return [
    route(
      operations.syncEndpoints,
      {
        access: "api",
        summary: "Create or update many",
        description:
          "Answers in the order of the request. An entry that failed says why; without a circuit its `url` is null.",
        failures: [400, 401],
        keepsRequestId: true,
      },
      async ({ body, by }) => {
        const validated = items.validateEndpoints(renamed(body));
        const outcomes = await endpoints.sync(validated, by);
        return {
          endpoints: outcomes.map((outcome, at) => {
            const id = validated[at]?.id ?? "";
            reportUnexpected(log, id, outcome);
            return created(id, outcome);
          }),
        };
      },
    ),
    route(
      operations.deleteEndpoints,
      {
        access: "api",
        summary: "Delete many",
        description: "Those that are gone already count as deleted.",
        failures: [400, 401],
        keepsRequestId: true,
      },
      async ({ body, by }) => {
        const ids = items.validateDeletions(renamed(body)).map(({ id }) => id);
        await endpoints.remove(ids, by);
        return { endpoints: ids.map((id) => ({ deployment_id: id, success: true, error: null })) };
      },
    ),
    route(
      operations.replaceRoutes,
      {
        access: "api",
        summary: "Replace the routes of many",
        description: "`[]` means no traffic.",
        failures: [400, 401],
        keepsRequestId: true,
      },
      async ({ body, by }) => ({
        endpoints: await routes.replace(items.validateRoutes(renamed(body)), by),
      }),
    ),
    route(
      operations.registerRoutes,
      {
        access: "api",
        summary: "Add routes to many",
        description: "A route id that is there already stays as it is.",
        failures: [400, 401],
        keepsRequestId: true,
      },
      async ({ body, by }) => ({
        endpoints: await routes.register(items.validateRoutes(renamed(body)), by),
      }),
    ),
    route(
      operations.unregisterRoutes,
      { access: "api", summary: "Take routes from many", failures: [400, 401], keepsRequestId: true },
      async ({ body, by }) => ({
        endpoints: await routes.unregister(items.validateUnregistrations(renamed(body)), by),
      }),
    ),
  ];
}

function routesOfOne({ endpoints, tokens }: EndpointServices): Route[] {
  return [
    route(
      operations.syncEndpoint,
      {
        access: "api",
        summary: "Create or update an endpoint",
        description:
          "The same call again gives the same URL; `open_to_public` and `health_check` are brought up to date.",
        failures: [400, 401, 409, 503],
        keepsRequestId: true,
      },
      async ({ params, body, by }) => {
        const [outcome] = await endpoints.sync([{ id: params.endpoint_id.toLowerCase(), item: body }], by);
        if (outcome === undefined || outcome instanceof Failure) throw outcome ?? new Failure("internal-server-error");
        if (outcome.failure !== undefined) throw outcome.failure;
        return { success: true, endpoint: outcome.url, health_check_enabled: outcome.healthCheckEnabled };
      },
    ),
    route(
      operations.deleteEndpoint,
      {
        access: "api",
        summary: "Delete an endpoint",
        description: "Also a success when it is gone already.",
        failures: [400, 401],
        keepsRequestId: true,
      },
      async ({ params, by }) => {
        await endpoints.remove([params.endpoint_id.toLowerCase()], by);
        return { success: true };
      },
    ),
    route(
      operations.setHealthCheck,
      {
        access: "api",
        summary: "Set how kernels are probed",
        description: "`null`: not at all.",
        failures: [400, 401, 404],
        keepsRequestId: true,
      },
      async ({ params, body, by }) => {
        await endpoints.setHealthCheck(params.endpoint_id.toLowerCase(), body.health_check, by);
        return { success: true };
      },
    ),
    route(
      operations.mintToken,
      {
        access: "api",
        summary: "Make a token for clients",
        description: "For `Authorization: Bearer`. It lives until `exp`, at most ten years.",
        onlyReads: true,
        failures: [400, 401, 404],
      },
      async ({ params, body }) => ({ token: await tokens.mint(params.endpoint_id.toLowerCase(), body) }),
    ),
  ];
}

/** Older Managers write `endpoint_id` for `deployment_id`. */
function renamed({ endpoints }: BulkBody): BulkBody {
  return {
    endpoints: endpoints.map((one: { deployment_id?: unknown; endpoint_id?: unknown }) => ({
      ...one,
      deployment_id: one.deployment_id === undefined ? one.endpoint_id : one.deployment_id,
    })),
  };
}

/** What is expected is told to the caller alone. */
function reportUnexpected(log: Log, endpoint: string, outcome: Synced | Failure): void {
  const failure = outcome instanceof Failure ? outcome : outcome.failure;
  if (failure?.kind === "internal-server-error") reportFailure(log, failure, { endpoint }, "entry");
}

function created(id: string, outcome: Synced | Failure): CreatedItem {
  if (outcome instanceof Failure)
    return { deployment_id: id, url: null, health_check_enabled: false, success: false, error: outcome.message };
  const { url, healthCheckEnabled, failure } = outcome;
  const error = failure?.message ?? null;
  return { deployment_id: id, url, health_check_enabled: healthCheckEnabled, success: error === null, error };
}
