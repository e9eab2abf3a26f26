/** Health of model services' kernels: what workers report, and what the coordinator tells of it. */
import { Type, type Static } from "@sinclair/typebox";
import { nullable, PortNumber, Protocol, Uuid } from "./basics.ts";

/** Null: not known yet. The words are the platform's. */
export const RouteStatus = nullable(Type.Union([Type.Literal("healthy"), Type.Literal("unhealthy")]));
export type RouteStatus = Static<typeof RouteStatus>;

/** What a node found of one route: id, status, epoch seconds of the last probe, failures in a row. A list, because thousands go with a heartbeat. */
export const RouteReport = Type.Tuple([Uuid, RouteStatus, nullable(Type.Number()), Type.Integer({ minimum: 0 })]);
export type RouteReport = Static<typeof RouteReport>;

/** What a node found of all routes. Not by circuit id: keys are read with their hyphens as underscores. */
export const RouteReports = Type.Array(Type.Object({ circuit_id: Uuid, routes: Type.Array(RouteReport) }), {
  description: "Each route: [id, healthy | unhealthy | null, epoch seconds of the last probe, failures in a row].",
});
export type RouteReports = Static<typeof RouteReports>;

/** A route as the health calls show it. */
export const RouteHealth = Type.Object({
  route_id: Uuid,
  session_id: Uuid,
  kernel_host: Type.String(),
  kernel_port: PortNumber,
  protocol: Protocol,
  health_status: RouteStatus,
  last_health_check: nullable(Type.Number({ description: "Epoch seconds." })),
  consecutive_failures: Type.Integer(),
  created_at: Type.String({ format: "date-time" }),
  updated_at: Type.String({ format: "date-time" }),
});
export type RouteHealth = Static<typeof RouteHealth>;

const Counts = {
  total_routes: Type.Integer(),
  healthy_routes: Type.Integer(),
  unhealthy_routes: Type.Integer(),
  unknown_routes: Type.Integer(),
};

export const EndpointHealth = Type.Object({
  endpoint_id: Uuid,
  health_check_enabled: Type.Boolean(),
  ...Counts,
  routes: Type.Array(RouteHealth),
});
export type EndpointHealth = Static<typeof EndpointHealth>;

export const CircuitHealth = Type.Object({
  circuit_id: Uuid,
  endpoint_id: nullable(Uuid),
  total_routes: Type.Integer(),
  healthy_routes: Type.Integer(),
  all_routes: Type.Array(RouteHealth),
});
export type CircuitHealth = Static<typeof CircuitHealth>;

export const HealthSummary = Type.Object({
  total_endpoints: Type.Integer(),
  endpoints_with_health_checks: Type.Integer(),
  ...Counts,
});
export type HealthSummary = Static<typeof HealthSummary>;

/** Answers of `GET /health/summary`, `/health/endpoints` and `/health/circuits/{id}`. */
export const SummaryAnswer = Type.Object({ success: Type.Boolean(), summary: HealthSummary });
export const EndpointsHealthAnswer = Type.Object({ success: Type.Boolean(), endpoints: Type.Array(EndpointHealth) });
export const CircuitHealthAnswer = Type.Object({ success: Type.Boolean(), circuits: Type.Array(CircuitHealth) });

/** Answer of `GET /health/status`: the workers that can take circuits. */
export const StatusAnswer = Type.Object({
  coordinator_version: Type.String(),
  appproxy_api_version: Type.Literal("v2"),
  workers: Type.Array(
    Type.Object({
      authority: Type.String(),
      available_slots: Type.Integer({ description: "-1 in wildcard mode." }),
      occupied_slots: Type.Integer(),
      ha_setup: Type.Boolean({ description: "More than one node serves it." }),
    }),
  ),
});
export type StatusAnswer = Static<typeof StatusAnswer>;
