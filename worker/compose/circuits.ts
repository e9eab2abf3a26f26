/** The circuits, their kernels and their use: the table, with what looks after the kernels in it. */
import { hostPort } from "../../shared/values.ts";
import { Table } from "../circuits/table.ts";
import { createUsage, type Usage } from "../circuits/usage.ts";
import { createHealthChecks } from "../health/http-checks.ts";
import { createProber } from "../health/recovery.ts";
import { probeHttp } from "../net/probe-http.ts";
import { accepts } from "../net/probe-tcp.ts";
import type { Targets } from "../net/targets.ts";
import type { Parts } from "./parts.ts";

export interface Circuits {
  table: Table;
  usage: Usage;
  /** Looks at no kernel any more, and writes what is known of the circuits' use. */
  stop(): Promise<void>;
}

export function createCircuits({ config, live, log, now }: Parts, targets: Targets): Circuits {
  const prober = createProber(accepts);
  const checks = createHealthChecks({ get: probeHttp, log, now, random: Math.random });
  const table = new Table({
    policies: { interactive: config.routes.interactive_policy, inference: config.routes.inference_policy },
    now,
    random: Math.random,
    targets,
    out(pool, upstream) {
      const { kernel_host: host, kernel_port: port } = upstream.route;
      log.warn(
        { route: upstream.route.route_id, kernel: hostPort({ host, port }) },
        "route is left out: its kernel refuses connections",
      );
      prober.watch(pool, upstream);
    },
    changed: (entry) => checks.follow(entry),
  });
  const usage = createUsage(live, log, now, { openConnections: config.usage.open_connections });
  return {
    table,
    usage,
    async stop() {
      prober.stop();
      checks.stop();
      await usage.stop();
    },
  };
}
