/**
 * Model services (endpoints, deployments): what the Manager asks for, and the answers. In calls about many the list is
 * judged as a whole and each entry on its own, so that a broken one is that entry's failure and not the call's.
 */
import { Kind, Type, TypeRegistry, type Static, type TSchema } from "@sinclair/typebox";
import { nullable, optional, PortNumber, Uuid } from "./basics.ts";
import { HealthCheckSpec } from "./health-check.ts";

const Name = Type.String({ minLength: 1, maxLength: 255 });
const DEPLOYMENT_ID = "9d3a6b1c-4f0e-4a7d-8c52-1e6f7a8b9c0d";
const ROUTE_ID = "3b7e9f20-6a1d-4c8e-9b54-0d2f1a3c5e7f";
const SESSION_ID = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";

/** `project_id` and `group_id` are two names of one thing. */
const Tags = Type.Object({
  session: Type.Object({
    user_uuid: Uuid,
    project_id: optional(Uuid),
    group_id: optional(Uuid),
    domain_name: optional(Type.String({ maxLength: 255 })),
  }),
  endpoint: Type.Object({
    id: optional(Uuid),
    runtime_variant: optional(Type.String({ maxLength: 255 })),
    existing_url: optional(
      Type.String({ maxLength: 2048, description: "The URL that it had: it gets it again if that can be had." }),
    ),
  }),
});

/** Body of `POST /v2/endpoints/{id}`. */
export const EndpointRequest = Type.Object(
  {
    version: optional(Type.String()),
    service_name: Name,
    tags: Tags,
    open_to_public: optional(Type.Boolean({ description: "Let everybody in, without a token." })),
    port: optional(PortNumber),
    subdomain: optional(Type.String({ maxLength: 255 })),
    health_check: optional(HealthCheckSpec),
  },
  {
    example: {
      version: "v2",
      service_name: "llama",
      tags: {
        session: { user_uuid: "f38dea23-50fa-42a0-b5ae-338f5f4693f4", project_id: null, domain_name: "default" },
        endpoint: { id: DEPLOYMENT_ID, runtime_variant: "vllm", existing_url: null },
      },
      open_to_public: false,
      health_check: { path: "/health", interval: 10 },
    },
  },
);
export type EndpointRequest = Static<typeof EndpointRequest>;

export const EndpointAnswer = Type.Object({
  success: Type.Boolean(),
  endpoint: Type.String({ format: "uri" }),
  health_check_enabled: Type.Boolean(),
});
export type EndpointAnswer = Static<typeof EndpointAnswer>;

/** `endpoint_id` is an older name of `deployment_id`; coordinator/endpoints/api.ts renames it. */
const Deployment = Type.Object({ deployment_id: Uuid });

export const EndpointItem = Type.Composite([Deployment, EndpointRequest], {
  example: { deployment_id: DEPLOYMENT_ID, ...(EndpointRequest["example"] as object) },
});
export type EndpointItem = Static<typeof EndpointItem>;

/** What the Manager knows of a route. `session_name`, `protocol` and `traffic_ratio` are of older Managers. */
export const RouteEntry = Type.Object(
  {
    session_id: Uuid,
    route_id: Uuid,
    kernel_host: Name,
    kernel_port: PortNumber,
    session_name: optional(Type.String({ maxLength: 255 })),
    traffic_ratio: optional(Type.Number({ minimum: 0, maximum: 1_000_000 })),
  },
  { example: { session_id: SESSION_ID, route_id: ROUTE_ID, kernel_host: "10.0.3.17", kernel_port: 8000 } },
);
export type RouteEntry = Static<typeof RouteEntry>;

export const RoutesItem = Type.Object({ deployment_id: Uuid, routes: Type.Array(RouteEntry) });
export type RoutesItem = Static<typeof RoutesItem>;

export const UnregisterItem = Type.Object({ deployment_id: Uuid, route_ids: Type.Array(Uuid) });
export type UnregisterItem = Static<typeof UnregisterItem>;

export const DeleteItem = Deployment;
export type DeleteItem = Static<typeof DeleteItem>;

const DEFERRED = "Deferred";
TypeRegistry.Set<TSchema>(
  DEFERRED,
  (_schema, value) => typeof value === "object" && value !== null && !Array.isArray(value),
);

/** OpenAPI shows the entry's schema; the list's check takes any object in its place. */
function bulk<T extends TSchema>(item: T, example: object) {
  const deferred = Type.Unsafe<Static<T>>({ ...item, [Kind]: DEFERRED });
  return Type.Object({ endpoints: Type.Array(deferred, { maxItems: 10_000 }) }, { example: { endpoints: [example] } });
}

/** Bodies of the calls about many. */
export const BulkEndpoints = bulk(EndpointItem, EndpointItem["example"] as object);
export const BulkDelete = bulk(DeleteItem, { deployment_id: DEPLOYMENT_ID });
export const BulkRoutes = bulk(RoutesItem, { deployment_id: DEPLOYMENT_ID, routes: [RouteEntry["example"]] });
export const BulkUnregister = bulk(UnregisterItem, { deployment_id: DEPLOYMENT_ID, route_ids: [ROUTE_ID] });
/** As it comes: the type of an entry is a promise that nobody has checked yet. */
export interface BulkBody {
  endpoints: readonly object[];
}

const Outcome = {
  deployment_id: Uuid,
  success: Type.Boolean(),
  error: nullable(Type.String({ description: "Why not." })),
};

/** The URL is null for an entry that failed. */
const CreatedItem = Type.Object({
  deployment_id: Uuid,
  url: nullable(Type.String({ format: "uri" })),
  health_check_enabled: Type.Boolean(),
  success: Type.Boolean(),
  error: nullable(Type.String()),
});
export type CreatedItem = Static<typeof CreatedItem>;

const OutcomeItem = Type.Object(Outcome);
export type OutcomeItem = Static<typeof OutcomeItem>;

const RegisteredItem = Type.Object({
  ...Outcome,
  registered_route_ids: Type.Array(Uuid),
  already_registered_route_ids: Type.Array(Uuid),
});
export type RegisteredItem = Static<typeof RegisteredItem>;

const UnregisteredItem = Type.Object({
  ...Outcome,
  unregistered_route_ids: Type.Array(Uuid),
  already_absent_route_ids: Type.Array(Uuid),
});
export type UnregisteredItem = Static<typeof UnregisteredItem>;

/** Answers of the calls about many, in the order of the request. */
export const BulkCreated = Type.Object({ endpoints: Type.Array(CreatedItem) });
export const BulkOutcome = Type.Object({ endpoints: Type.Array(OutcomeItem) });
export const BulkRegistered = Type.Object({ endpoints: Type.Array(RegisteredItem) });
export const BulkUnregistered = Type.Object({ endpoints: Type.Array(UnregisteredItem) });

/** Body of `PUT /v2/endpoints/{id}/health-check`. */
export const HealthCheckRequest = Type.Object(
  { health_check: nullable(HealthCheckSpec) },
  { example: { health_check: HealthCheckSpec["example"] as object } },
);
export type HealthCheckRequest = Static<typeof HealthCheckRequest>;

/** Body of `POST /v2/endpoints/{id}/token`. */
export const TokenRequest = Type.Object(
  {
    user_uuid: Uuid,
    exp: Type.Union([
      Type.Number({ description: "Epoch seconds (or milliseconds, when that large)." }),
      Type.String({ description: "An ISO 8601 date and time, or epoch seconds as text.", maxLength: 64 }),
    ]),
  },
  { example: { user_uuid: "f38dea23-50fa-42a0-b5ae-338f5f4693f4", exp: "2027-01-31T12:00:00Z" } },
);
export type TokenRequest = Static<typeof TokenRequest>;

export const TokenAnswer = Type.Object({
  token: Type.String({ description: "An HS256 JWT for Authorization: Bearer." }),
});
