/**
 * The worker's figures at `GET /metrics` of its API port, for the addresses in `metric_access_allowed_hosts`. Of a worker
 * with several processes the one that is asked tells the figures of all, each with the label `process`.
 */
import { addressMatcher } from "../shared/http/addresses.ts";
import type { Caller, OwnHosts } from "../shared/http/own-hosts.ts";
import {
  counter,
  counters,
  createRegistry,
  gauge,
  gauges,
  metricsAnswer,
  together,
} from "../shared/runtime/metrics.ts";
import type { Lane } from "./lanes/lane.ts";
import type { Connections } from "./net/connections.ts";
import type { Crowding } from "../shared/net/crowding.ts";
import type { UnfinishedMessages } from "./net/unfinished.ts";
import type { Clock } from "./state/clock.ts";
import { reportRoutes } from "./health/http-checks.ts";
import type { SyncState } from "./state/sync.ts";
import type { Table } from "./circuits/table.ts";
import type { Usage } from "./circuits/usage.ts";

export interface Metrics {
  answer(caller: Caller): Promise<Response>;
}

interface MetricsDeps {
  table: Table;
  usage: Usage;
  clock: Clock;
  room: {
    connections: Pick<Connections, "clients" | "most">;
    crowding: Pick<Crowding, "refused" | "closed">;
    messages: Pick<UnfinishedMessages, "closed">;
  };
  /** Ports that can't be opened. */
  blocked: () => number[];
  state: () => SyncState & { events: boolean };
  /** Which of the worker's processes this is; null: the only one. */
  lane: Lane | null;
  /** Who may read them. */
  allowed: readonly string[];
  /** What they may call this service. */
  hosts: OwnHosts;
}

export function createMetrics(deps: MetricsDeps): Metrics {
  const { table, usage, clock, room, blocked, state, lane, allowed, hosts } = deps;
  const registry = createRegistry("appproxy-worker");
  const mayRead = addressMatcher(allowed);
  counter(
    registry,
    "appproxy_worker_requests_total",
    "Requests, WebSockets and TCP connections that were let in.",
    () => usage.requests(),
  );
  gauges(registry, "appproxy_worker_circuits", "Circuits.", "app_mode", () =>
    countBy(table.all(), ({ circuit }) => circuit.app_mode),
  );
  gauge(registry, "appproxy_worker_open", "Open requests and connections to apps.", () =>
    table.all().reduce((sum, { pool }) => sum + pool.open, 0),
  );
  gauge(
    registry,
    "appproxy_worker_connections",
    "Clients' connections; with engine serve requests and connections under way.",
    () => room.connections.clients,
  );
  gauge(registry, "appproxy_worker_connections_limit", "Most of them.", () => room.connections.most);
  counters(
    registry,
    "appproxy_worker_connections_refused_total",
    "Connections and requests that were refused, by what was full.",
    "full",
    () => room.crowding.refused,
  );
  counters(
    registry,
    "appproxy_worker_idle_connections_closed_total",
    "Idle connections that were closed to make room: clients', and those to apps that were kept.",
    "side",
    () => room.crowding.closed,
  );
  counter(
    registry,
    "appproxy_worker_unfinished_messages_closed_total",
    "WebSockets that were closed because messages that were not whole held too much.",
    () => room.messages.closed,
  );
  gauges(registry, "appproxy_worker_inference_routes", "Kernels of model services.", "status", () => ({
    healthy: 0,
    unhealthy: 0,
    unknown: 0,
    ...countBy(
      reportRoutes(table).flatMap(({ routes }) => routes),
      ([, status]) => status ?? "unknown",
    ),
  }));
  gauge(registry, "appproxy_worker_circuits_known", "0 while changes may have been missed.", () =>
    Number(state().known),
  );
  gauge(registry, "appproxy_worker_revision", "Of its circuits.", () => state().revision ?? Number.NaN);
  gauge(
    registry,
    "appproxy_worker_lag",
    "Changes of the coordinator that are not here yet.",
    () => state().lag ?? Number.NaN,
  );
  gauge(
    registry,
    "appproxy_worker_seconds_since_sync",
    "Since its circuits were last known to be as the coordinator's.",
    () => (performance.now() - state().syncedAt) / 1000,
  );
  gauge(
    registry,
    "appproxy_worker_blocked_ports",
    "Ports of its range that it can't open: others have them.",
    () => blocked().length,
  );
  gauge(registry, "appproxy_worker_usage_delayed", "1 while users' activity could not be written to Redis.", () =>
    Number(usage.delayed()),
  );
  gauge(registry, "appproxy_worker_coordinator_reachable", "1 when the last call succeeded.", () =>
    Number(state().coordinator),
  );
  gauge(registry, "appproxy_worker_events_connected", "1 while events are heard.", () => Number(state().events));
  gauge(
    registry,
    "appproxy_worker_clock_skew_seconds",
    "How far this machine's clock is ahead of the coordinator's.",
    () => clock.skew() ?? Number.NaN,
  );
  gauge(
    registry,
    "appproxy_worker_clock_corrected",
    "1 while that is corrected for, 0 while it is not or need not be.",
    () => Number(clock.state() === "corrected"),
  );
  const readers = { allowed: mayRead, hosts };
  if (lane === null) return { answer: (caller) => metricsAnswer(registry, caller, readers) };
  registry.setDefaultLabels({ process: String(lane.number) });
  lane.report(() => registry.getMetricsAsJSON());
  const all = async () => together((await lane.gather()) ?? []);
  return { answer: (caller) => metricsAnswer(registry, caller, readers, all) };
}

// --- internal ---

function countBy<T>(all: readonly T[], key: (one: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of all) counts[key(one)] = (counts[key(one)] ?? 0) + 1;
  return counts;
}
