/** The coordinator's figures for Prometheus, and who may read them. */
import { Counter } from "prom-client";
import { addressMatcher } from "../../shared/http/addresses.ts";
import type { Caller, OwnHosts } from "../../shared/http/own-hosts.ts";
import { counter, counters, createRegistry, gauge, gauges, metricsAnswer } from "../../shared/runtime/metrics.ts";
import { circuitModes } from "../store/circuit-queries.ts";
import type { Query } from "../store/store.ts";
import type { Allowance } from "../circuits/allowance.ts";
import type { Collector } from "../circuits/collector.ts";
import type { Publisher } from "../delivery/publisher.ts";
import type { Deps } from "../deps.ts";
import type { Lease } from "../periodic/lease.ts";
import { convergence, type WorkerPosition } from "../store/convergence.ts";
import { blockedOf } from "../store/blocked-ports.ts";
import { listWorkers, workerStatuses } from "../store/workers.ts";

/** What else is asked how it is. */
export interface Watched {
  publisher: Publisher;
  collector: Collector;
  lease: Lease;
  allowance: Pick<Allowance, "refused">;
}

export interface Metrics {
  /** A call was answered. `route` is its pattern. */
  answered(method: string, route: string, status: number): void;
  answer(caller: Caller): Promise<Response>;
}

export function createMetrics(
  { config, database, bus, live, platform, now }: Deps,
  { publisher, collector, lease, allowance }: Watched,
  hosts: OwnHosts,
): Metrics {
  const registry = createRegistry("appproxy-coordinator");
  const allowed = addressMatcher(config.proxy_coordinator.metric_access_allowed_hosts);
  const calls = new Counter({
    name: "appproxy_coordinator_calls_total",
    help: "Answered calls.",
    labelNames: ["method", "route", "status"],
    registers: [registry],
  });
  gauges(registry, "appproxy_coordinator_circuits", "Circuits.", "app_mode", () => database.read(circuitModes));
  gauges(registry, "appproxy_coordinator_workers", "Workers.", "status", () => database.read(workerStatuses));
  gauge(registry, "appproxy_coordinator_unpublished_changes", "Changes that workers have not been told of.", () =>
    publisher.pending(),
  );
  gauges(registry, "appproxy_coordinator_nodes", "Living nodes, by how far they were at their last heartbeat.", "state", async () => (await database.read((q) => convergence(q, now()))).nodes); // prettier-ignore
  byWorker("appproxy_coordinator_worker_revision", "Grows with each change of its circuits.", (one) => one.revision);
  byWorker("appproxy_coordinator_worker_lag", "Revisions that its hindmost node lacked.", (one) => one.lag);
  byWorker("appproxy_coordinator_worker_silent_seconds", "Since its last heartbeat.", (one) => (now() - one.heardAt) / 1000); // prettier-ignore
  gauges(
    registry,
    "appproxy_coordinator_blocked_ports",
    "Ports that a node can't open: others have them.",
    "worker",
    () => database.read((q) => blockedByWorker(q, now())),
  );
  gauge(registry, "appproxy_coordinator_periodic_work", "1 while this one of several coordinators does it.", () =>
    Number(lease.isMine()),
  );
  gauge(registry, "appproxy_coordinator_use_known", "1 while it is known which circuits are in use.", () =>
    Number(collector.knows()),
  );
  counter(registry, "appproxy_coordinator_collected_circuits_total", "Circuits that nobody used.", () =>
    collector.collected(),
  );
  counters(
    registry,
    "appproxy_coordinator_circuits_refused_total",
    "Circuits that were refused, by who had as many as they may have.",
    "full",
    () => allowance.refused,
  );
  gauge(registry, "appproxy_coordinator_events_connected", "1 while events can be sent and heard.", () =>
    Number(bus.healthy()),
  );
  gauge(registry, "appproxy_coordinator_live_data_connected", "1 while usage can be read.", () =>
    Number(live.healthy()),
  );
  if (platform !== undefined) {
    gauge(registry, "appproxy_coordinator_platform_events_connected", "1 while the ends of sessions are heard.", () =>
      Number(platform.healthy()),
    );
  }
  function byWorker(name: string, help: string, read: (one: WorkerPosition) => number | null): void {
    gauges(registry, name, help, "worker", async () => {
      const { workers } = await database.read((q) => convergence(q, now()));
      const all = [...workers].flatMap(([worker, position]) => {
        const figure = read(position);
        return figure === null ? [] : [[worker, figure] as const];
      });
      return Object.fromEntries(all);
    });
  }

  return {
    answered: (method, route, status) => calls.inc({ method, route, status }),
    answer: (caller) => metricsAnswer(registry, caller, { allowed, hosts }),
  };
}

// --- internal ---

function blockedByWorker(q: Query, now: number): Record<string, number> {
  return Object.fromEntries(
    listWorkers(q).map(({ id, authority }) => [authority, blockedOf(q, now, id).length] as const),
  );
}
