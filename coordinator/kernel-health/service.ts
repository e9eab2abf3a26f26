/** How the kernels of model services are, as workers report it with their heartbeats. What is of no living node is not known. */
import { notFound } from "../../shared/failure.ts";
import type { Route } from "../../shared/protocol/schema/circuit.ts";
import type {
  CircuitHealth,
  EndpointHealth,
  HealthSummary,
  RouteHealth,
  RouteReport,
  StatusAnswer,
} from "../../shared/protocol/schema/health.ts";
import { VERSION } from "../../shared/runtime/version.ts";
import { getCircuit, inferenceCircuits } from "../store/circuit-queries.ts";
import type * as circuits from "../store/circuits.ts";
import type { Deps } from "../deps.ts";
import type { Query } from "../store/store.ts";
import { isoTime } from "../../shared/values.ts";
import * as workers from "../store/workers.ts";
import { liveReports, liveNodes } from "../store/nodes.ts";

export interface HealthService {
  status(): Promise<StatusAnswer>;
  summary(): Promise<HealthSummary>;
  endpoints(): Promise<EndpointHealth[]>;
  /** Rejects with object-not-found. */
  circuit(id: string): Promise<CircuitHealth>;
}

export function createHealthService({ database, now }: Deps): HealthService {
  /** What the living nodes of a circuit's worker say of its routes: of another worker's circuits a node has nothing to say. */
  function reports(q: Query): Reported {
    const known = new Map<string, RouteReport>();
    const latest = now() / 1000;
    for (const { workerId, reports: told } of liveReports(q, now())) {
      for (const { circuit_id: circuitId, routes } of told)
        for (const [id, status, at, failures] of routes) {
          const key = `${workerId} ${circuitId} ${id}`;
          known.set(key, worse(known.get(key), [id, status, at === null ? null : Math.min(at, latest), failures]));
        }
    }
    return ({ workerId, id }, routeId) => known.get(`${workerId} ${id} ${routeId}`);
  }

  function endpoints(q: Query): EndpointHealth[] {
    const reported = reports(q);
    return inferenceCircuits(q).map((row) => {
      const routes = routesOf(row, reported);
      const count = (status: RouteHealth["health_status"]) =>
        routes.filter((route) => route.health_status === status).length;
      return {
        endpoint_id: row.endpointId ?? "",
        health_check_enabled: row.healthCheck !== null,
        total_routes: routes.length,
        healthy_routes: count("healthy"),
        unhealthy_routes: count("unhealthy"),
        unknown_routes: count(null),
        routes,
      };
    });
  }

  function circuit(q: Query, id: string): CircuitHealth {
    const row = getCircuit(q, id.toLowerCase());
    if (row === undefined) throw notFound("circuit");
    // Apps of sessions are not probed: their routes count as well, as with the original.
    if (row.endpointId === null) {
      const { length } = row.routeInfo;
      return { circuit_id: row.id, endpoint_id: null, total_routes: length, healthy_routes: length, all_routes: [] };
    }
    const routes = routesOf(row, reports(q));
    return {
      circuit_id: row.id,
      endpoint_id: row.endpointId,
      total_routes: routes.length,
      healthy_routes: routes.filter((route) => route.health_status === "healthy").length,
      all_routes: routes,
    };
  }

  return {
    endpoints: () => database.read(endpoints),
    status: () =>
      database.read((q) => ({
        coordinator_version: VERSION,
        appproxy_api_version: "v2",
        workers: workers.candidates(q, now()).map((one) => ({
          authority: one.authority,
          available_slots: one.frontendMode === "wildcard" ? -1 : one.available,
          occupied_slots: one.occupied,
          ha_setup: liveNodes(q, one.id, now()) > 1,
        })),
      })),
    summary: async () => summaryOf(await database.read(endpoints)),
    circuit: (id) => database.read((q) => circuit(q, id)),
  };
}

// --- internal ---

function summaryOf(all: readonly EndpointHealth[]): HealthSummary {
  const sum = (of: (one: EndpointHealth) => number) => all.reduce((total, one) => total + of(one), 0);
  return {
    total_endpoints: all.length,
    endpoints_with_health_checks: all.filter((one) => one.health_check_enabled).length,
    total_routes: sum((one) => one.total_routes),
    healthy_routes: sum((one) => one.healthy_routes),
    unhealthy_routes: sum((one) => one.unhealthy_routes),
    unknown_routes: sum((one) => one.unknown_routes),
  };
}

/** Of two nodes that see a kernel differently the one that sees trouble is believed; else the one that knows more. */
function worse(one: RouteReport | undefined, other: RouteReport): RouteReport {
  if (one === undefined) return other;
  const rank = ([, status]: RouteReport) => (status === "unhealthy" ? 2 : status === "healthy" ? 1 : 0);
  if (rank(one) !== rank(other)) return rank(one) > rank(other) ? one : other;
  return (one[2] ?? 0) >= (other[2] ?? 0) ? one : other;
}

type Reported = (circuit: Pick<circuits.CircuitRow, "workerId" | "id">, routeId: string) => RouteReport | undefined;

function routesOf(row: circuits.CircuitRow, reported: Reported): RouteHealth[] {
  return row.routeInfo
    .filter((route): route is Route & { route_id: string } => route.route_id !== null)
    .map((route) => {
      const [, status, checkedAt, failures] = reported(row, route.route_id) ?? [route.route_id, null, null, 0];
      return {
        route_id: route.route_id,
        session_id: route.session_id,
        kernel_host: route.kernel_host,
        kernel_port: route.kernel_port,
        protocol: route.protocol,
        health_status: status,
        last_health_check: checkedAt,
        consecutive_failures: failures,
        created_at: isoTime(row.createdAt),
        updated_at: isoTime(row.updatedAt),
      };
    });
}
