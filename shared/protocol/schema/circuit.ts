/**
 * Circuits and routes as they travel between coordinator, worker and events.
 * A schema here is wire check, static type and OpenAPI at once.
 */
import { Type, type Static } from "@sinclair/typebox";
import { Dictionary, literals, nullable, PortNumber, Protocol, Uuid, type ProxyProtocol } from "./basics.ts";
import { HealthCheck } from "./health-check.ts";

export const FRONTEND_MODES = ["port", "wildcard"] as const;
export const FrontendModeSchema = literals(FRONTEND_MODES);
export type FrontendMode = (typeof FRONTEND_MODES)[number];

export const APP_MODES = ["interactive", "inference"] as const;
export const AppModeSchema = literals(APP_MODES);
export type AppMode = (typeof APP_MODES)[number];

export const Route = Type.Object(
  {
    route_id: nullable(Uuid),
    session_id: Uuid,
    session_name: nullable(Type.String()),
    kernel_host: Type.String({ example: "10.0.3.17" }),
    kernel_port: PortNumber,
    protocol: Protocol,
    traffic_ratio: Type.Number({ minimum: 0 }),
  },
  { description: "One way from a circuit to a kernel." },
);
export type Route = Static<typeof Route>;

export const Circuit = Type.Object(
  {
    id: Uuid,
    app: Type.String({ example: "jupyter" }),
    protocol: Protocol,
    worker: Type.String({ description: "Id of the worker that carries it." }),
    app_mode: AppModeSchema,
    frontend_mode: FrontendModeSchema,
    envs: Dictionary,
    arguments: nullable(Type.String()),
    open_to_public: Type.Boolean(),
    allowed_client_ips: nullable(Type.String()),
    port: nullable(PortNumber),
    subdomain: nullable(Type.String()),
    user_id: nullable(Uuid),
    endpoint_id: nullable(Uuid),
    runtime_variant: nullable(Type.String()),
    route_info: Type.Array(Route),
    session_ids: Type.Array(Uuid),
    created_at: Type.String({ format: "date-time" }),
    updated_at: Type.String({ format: "date-time" }),
    origin_request_id: Type.Optional(
      nullable(Type.String({ description: "X-Backend-Request-ID of the request that created it; never made up." })),
    ),
    revision: Type.Optional(Type.Integer({ description: "The worker's revision at its last change." })),
    health_check: Type.Optional(nullable(HealthCheck)),
    allowed_origins: Type.Optional(
      nullable(Type.String({ description: "Whose pages may call it with the person's cookies." })),
    ),
    recycled_at: Type.Optional(
      Type.String({
        format: "date-time",
        description: "When it came to its port or name, which another user's circuit had before.",
      }),
    ),
    service_workers: Type.Optional(
      Type.Literal("blocked", {
        description: "Another user's app has registered a service worker on its port: apps here may not.",
      }),
    ),
  },
  { description: "A route from a user-facing slot to one app." },
);
export type Circuit = Static<typeof Circuit>;

/** The transport that a worker must speak for a protocol. */
export function placementProtocol(protocol: ProxyProtocol): ProxyProtocol {
  if (protocol === "preopen") return "http";
  return protocol === "vnc" || protocol === "rdp" ? "tcp" : protocol;
}
