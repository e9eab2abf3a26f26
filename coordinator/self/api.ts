/** Routes that tell how the coordinator is: for load balancers, orchestrators and clients that look for it. */
import { Elysia } from "elysia";
import { connectivity, type Part } from "../../shared/compat/connectivity.ts";
import { operations } from "../../shared/protocol/operations.ts";
import { VERSION } from "../../shared/runtime/version.ts";
import type { Deps } from "../deps.ts";
import { convergence } from "../store/convergence.ts";
import { workerStatuses } from "../store/workers.ts";
import type { AccessPlugin } from "../http/access.ts";
import { peerOf } from "../http/peer.ts";
import { route, type Route } from "../http/routes.ts";
import type { Metrics, Watched } from "./metrics.ts";

const tags = ["Status"];
const FAILED = {
  description: "Failed",
  content: { "application/json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

export interface Readiness {
  ready: boolean;
  /** The same as the original tells it. */
  parts: Part[];
  /** One entry a thing that it needs. */
  checks: Record<string, string>;
}

/** What `/health` says of a coordinator, its workers and what it needs. */
export function createReadiness(
  { database, bus, live, platform, now }: Deps,
  { publisher, collector, lease }: Watched,
): () => Promise<Readiness> {
  return async () => {
    const { nodes, workers, statuses } = await database.read((q) => ({
      ...convergence(q, now()),
      statuses: workerStatuses(q),
    }));
    const unpublished = await publisher.pending();
    const positions = [...workers.values()];
    const most = (figures: readonly number[]) => (figures.length === 0 ? "none" : String(Math.max(...figures)));
    const parts = [
      { group: "redis", component: "live", healthy: live.healthy() },
      { group: "redis", component: "events", healthy: bus.healthy() },
      { group: "database", component: "sqlite", healthy: database.fault() === null },
    ];
    return {
      ready: parts.every(({ healthy }) => healthy),
      parts,
      checks: {
        database: database.fault() ?? database.epoch,
        events: bus.healthy() ? "connected" : "away",
        live_data: live.healthy() ? "connected" : "away",
        // Without it circuits are made all the same: that sessions end is noticed later.
        ...(platform === undefined ? {} : { platform_events: platform.healthy() ? "connected" : "away" }),
        unpublished_changes: String(unpublished),
        revision: String(positions.reduce((sum, { revision }) => sum + revision, 0)),
        workers: counted(statuses),
        nodes: counted(nodes),
        largest_lag: most(positions.flatMap(({ lag }) => lag ?? [])),
        longest_silence_seconds: most(positions.map(({ heardAt }) => Math.round((now() - heardAt) / 100) / 10)),
        periodic_work: lease.isMine() ? "here" : "elsewhere",
        use_of_circuits: collector.knows() ? "known" : "unknown",
      },
    };
  };
}

/** Such as `2 ALIVE, 0 LOST`. */
function counted(figures: Record<string, number>): string {
  return Object.entries(figures)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}

export function statusRoutes(baseUrl: () => string, readiness: () => Promise<Readiness>, now: () => number): Route[] {
  const answer = (status: string, parts: readonly Part[]) => ({
    status,
    version: VERSION,
    component: "appproxy-coordinator",
    connectivity: connectivity(parts, now()),
  });
  /** `bad`: as the original calls what is away, `error` where a probe asks. */
  const health = async (bad: "degraded" | "error") => {
    const { ready, parts, checks } = await readiness();
    return { ready, body: { ...answer(ready ? "ok" : bad, parts), checks } };
  };
  return [
    route(operations.hello, { access: "public", summary: "What this is" }, () => ({
      component: "appproxy-coordinator",
      version: VERSION,
      api_version: "v2",
    })),
    route(operations.whereabouts, { access: "public", summary: "Where to reach it" }, () => ({
      api_version: "v2" as const,
      advertise_address: baseUrl(),
    })),
    route(
      operations.health,
      { access: "public", summary: "Health with its parts" },
      async () => (await health("degraded")).body,
    ),
    route(operations.isAlive, { access: "public", summary: "Is the process alive" }, () => answer("ok", [])),
    route(
      operations.isReady,
      { access: "public", summary: "Can it create circuits", also: [503] },
      async ({ status }) => {
        const { ready, body } = await health("error");
        if (!ready) status(503);
        return body;
      },
    ),
  ];
}

export function metricsRoutes(access: AccessPlugin, metrics: Metrics) {
  return new Elysia({ name: "metrics" })
    .use(access)
    .get(
      "/metrics",
      ({ request, server }) => metrics.answer({ peer: peerOf(request, server), headers: request.headers }),
      {
        access: "public",
        detail: {
          tags,
          summary: "Figures for Prometheus",
          description: "Only for the addresses in `metric_access_allowed_hosts`.",
          responses: {
            200: { description: "OK", content: { "text/plain": { schema: { type: "string" as const } } } },
            403: FAILED,
            421: FAILED,
          },
        },
      },
    );
}
