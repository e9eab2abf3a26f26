/**
 * Looks at kernels that may be gone, when the coordinator asks for it: a connection to each, and those that refuse are
 * told to the coordinator, which ends their routes. Timeouts prove nothing, nor does a kernel that may still be starting.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { RefusedReport } from "../../shared/protocol/schema/api.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { ProbeResult } from "../net/probe-tcp.ts";
import type { Entry, Table } from "../circuits/table.ts";
import { createLimiter } from "./limiter.ts";
import { keyOf, type Upstream } from "../upstreams/pool.ts";

export interface Refusals {
  /** Looks at these circuits' routes, as far as they are in the table. */
  probe(circuits: readonly Circuit[]): void;
  stop(): void;
}

interface RefusalDeps {
  table: Table;
  /** Connects to an address. Never rejects. */
  probe: (host: string, port: number) => Promise<ProbeResult>;
  /** Tells the coordinator. Rejects when it can't be told. */
  report: (circuitId: string, report: RefusedReport) => Promise<void>;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
}

/** Connections at once. */
const MAX_AT_ONCE = 32;

export function createRefusals({ table, probe, report, log, now }: RefusalDeps): Refusals {
  const turn = createLimiter(MAX_AT_ONCE);
  /** Upstreams that are looked at, each once however often it is asked for: never more than the table has. */
  const underWay = new Set<Upstream>();
  let stopped = false;

  async function probeAll(entry: Entry, upstreams: readonly Upstream[]): Promise<void> {
    const { id, revision } = entry.circuit;
    // An older coordinator numbers nothing, and asks for nothing.
    if (revision === undefined) return;
    for (const upstream of upstreams) underWay.add(upstream);
    const found = await Promise.all(upstreams.map((upstream) => refuses(upstream)));
    for (const upstream of upstreams) underWay.delete(upstream);
    const refusing = upstreams.filter((upstream, at) => found[at] === true && !upstream.removed);
    if (refusing.length === 0 || stopped) return;
    const routes = refusing.map(({ route: { route_id, session_id, kernel_host, kernel_port } }) => {
      return { route_id, session_id, kernel_host, kernel_port };
    });
    log.info({ circuit: id, routes: routes.length }, "kernels that may be gone refuse connections");
    await report(id, { revision, routes });
  }

  function refuses(upstream: Upstream): Promise<boolean> {
    const { kernel_host: host, kernel_port: port } = upstream.route;
    return turn(async () => !stopped && !upstream.removed && (await probe(host, port)) === "refused");
  }

  /** An app that has never been reached may refuse because it is not up yet. */
  function mayStart({ circuit, pool }: Entry, upstream: Upstream): boolean {
    const delay = (circuit.health_check?.initial_delay ?? 0) * 1000;
    return pool.mayStart(upstream) || (!upstream.answered && now() - upstream.since < delay);
  }

  return {
    probe(circuits) {
      for (const { id, route_info: routes } of circuits) {
        const entry = table.byId(id);
        if (entry === undefined || stopped) continue;
        const asked = new Set(routes.map(keyOf));
        const upstreams = entry.pool.upstreams.filter(
          (upstream) => asked.has(keyOf(upstream.route)) && !underWay.has(upstream) && !mayStart(entry, upstream),
        );
        if (upstreams.length === 0) continue;
        probeAll(entry, upstreams).catch((error: unknown) => {
          // Its requests find the same, and an unused circuit is collected.
          log.warn({ circuit: id, reason: reason(error) }, "cannot tell the coordinator of kernels that refuse");
        });
      }
    },
    stop() {
      stopped = true;
    },
  };
}
