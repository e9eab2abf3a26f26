/**
 * HTTP probes of the kernels of model services, as the endpoint's `health_check` says. One that fails too often in a row is
 * left out until a probe finds it well; refused connections (recovery.ts) leave it out besides. The heartbeat tells of both.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { HealthCheck } from "../../shared/protocol/schema/health-check.ts";
import type { RouteReport, RouteReports } from "../../shared/protocol/schema/health.ts";
import type { Entry, Table } from "../circuits/table.ts";
import type { Target } from "../net/targets.ts";
import { createLimiter, type Limiter } from "./limiter.ts";
import type { Upstream } from "../upstreams/pool.ts";

export interface HealthChecks {
  /** Probes the upstreams that an entry has now, and no others. */
  follow(entry: Entry): void;
  stop(): void;
}

interface HealthCheckDeps {
  /** The status with which an app answers a GET within `ms` milliseconds. Rejects with what went wrong. */
  get: (target: Target, path: string, ms: number) => Promise<number>;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
  /** A number in [0, 1). */
  random: () => number;
}

type Timer = ReturnType<typeof setTimeout>;

/** What is done for an entry. */
interface Watch {
  check: HealthCheck;
  /** Its share of the probes at once: kernels that hang must not keep those of others waiting. */
  share: Limiter;
  /** The next probe of each upstream; null while one is under way. */
  timers: Map<Upstream, Timer | null>;
}

/** Probes at once: more would take the sockets of the traffic. The others wait. */
const MAX_AT_ONCE = 512;
/** The same of one model service. */
const MAX_OF_ONE = 64;
/** The first probes of many kernels are spread over this. Milliseconds. */
const FIRST_WITHIN_MS = 1000;

export function createHealthChecks({ get, log, now, random }: HealthCheckDeps): HealthChecks {
  const watches = new Map<Entry, Watch>();
  const turn = createLimiter(MAX_AT_ONCE);

  function follow(entry: Entry): void {
    const check = entry.circuit.health_check ?? null;
    const upstreams = entry.pool.upstreams.filter(({ route }) => route.route_id !== null);
    const known = watches.get(entry);
    // Another check judges anew.
    if (known !== undefined && (check === null || !Bun.deepEquals(known.check, check))) forget(entry, known);
    if (check === null || upstreams.length === 0) {
      const left = watches.get(entry);
      if (left !== undefined) forget(entry, left);
      return;
    }
    const watch = watches.get(entry) ?? {
      check,
      share: createLimiter(MAX_OF_ONE),
      timers: new Map<Upstream, Timer | null>(),
    };
    watches.set(entry, watch);
    const wanted = new Set(upstreams);
    for (const [upstream, timer] of watch.timers) {
      if (wanted.has(upstream)) continue;
      clearTimeout(timer ?? undefined);
      watch.timers.delete(upstream);
    }
    const within = Math.min(FIRST_WITHIN_MS, check.interval * 1000);
    for (const upstream of upstreams) if (!watch.timers.has(upstream)) later(entry, watch, upstream, random() * within);
  }

  function forget(entry: Entry, watch: Watch): void {
    watches.delete(entry);
    for (const [upstream, timer] of watch.timers) {
      clearTimeout(timer ?? undefined);
      upstream.misses = 0;
      upstream.checkedAt = null;
      entry.pool.judge(upstream, null);
    }
    watch.timers.clear();
  }

  function later(entry: Entry, watch: Watch, upstream: Upstream, ms: number): void {
    watch.timers.set(
      upstream,
      setTimeout(() => void checkOne(entry, watch, upstream), ms),
    );
  }

  async function checkOne(entry: Entry, watch: Watch, upstream: Upstream): Promise<void> {
    const { check, timers } = watch;
    timers.set(upstream, null);
    const ask = () => (timers.has(upstream) ? probe(upstream.target, check) : Promise.resolve(null));
    const fault = await watch.share(() => turn(ask));
    // Gone, or checked otherwise meanwhile.
    if (!timers.has(upstream)) return;
    upstream.checkedAt = now();
    if (fault === null) well(entry, upstream);
    else unwell(entry, upstream, check, fault);
    later(entry, watch, upstream, check.interval * 1000);
  }

  /** Null when the kernel is well, else what is wrong. Never rejects. */
  async function probe(target: Target, check: HealthCheck): Promise<string | null> {
    try {
      const status = await get(target, check.path, check.max_wait_time * 1000);
      return status === check.expected_status_code ? null : `answered ${status}, wanted ${check.expected_status_code}`;
    } catch (error) {
      return reason(error);
    }
  }

  function well(entry: Entry, upstream: Upstream): void {
    if (upstream.status === "unhealthy") log.info(about(entry, upstream), "kernel passes its health check again");
    upstream.misses = 0;
    entry.pool.judge(upstream, "healthy");
    // It has accepted a connection.
    entry.pool.connected(upstream);
  }

  function unwell(entry: Entry, upstream: Upstream, check: HealthCheck, fault: string): void {
    const isStarting = upstream.status === null && now() - upstream.since < check.initial_delay * 1000;
    if (isStarting) return;
    upstream.misses++;
    if (upstream.misses <= check.max_retries || upstream.status === "unhealthy") return;
    log.warn(
      { ...about(entry, upstream), failures: upstream.misses, reason: fault },
      "kernel is left out: its health check fails",
    );
    entry.pool.judge(upstream, "unhealthy");
  }

  return {
    follow,
    stop() {
      for (const [entry, watch] of watches) forget(entry, watch);
    },
  };
}

/** At most so many routes are told of: a heartbeat has to stay one. */
const MAX_REPORTED = 100_000;

/** What this node knows of the kernels of model services, for the heartbeat. */
export function reportRoutes(table: Table): RouteReports {
  const reports: RouteReports = [];
  let left = MAX_REPORTED;
  for (const { circuit, pool } of table.all()) {
    if (circuit.app_mode !== "inference" || pool.upstreams.length === 0) continue;
    const isProbed = circuit.health_check != null;
    const routes = pool.upstreams.flatMap((upstream) => reportOf(upstream, isProbed)).slice(0, left);
    left -= routes.length;
    reports.push({ circuit_id: circuit.id, routes });
    if (left <= 0) break;
  }
  return reports;
}

// --- internal ---

function about({ circuit }: Entry, { route }: Upstream) {
  return { circuit: circuit.id, route: route.route_id, kernel: `${route.kernel_host}:${route.kernel_port}` };
}

/** Without probes a kernel is as well as its last connection. */
function reportOf(upstream: Upstream, isProbed: boolean): RouteReport[] {
  const { route, status, refuses, answered, misses, failures, checkedAt } = upstream;
  if (route.route_id === null) return [];
  const known = isProbed ? status : answered ? "healthy" : null;
  const seen = refuses ? "unhealthy" : known;
  return [[route.route_id, seen, checkedAt === null ? null : checkedAt / 1000, Math.max(misses, failures)]];
}
