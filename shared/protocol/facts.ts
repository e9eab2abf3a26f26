/**
 * What a registration says of its worker as a whole: where it is reached, which slots it has, what it takes. All nodes of a
 * worker say the same. Both sides compare it here: the coordinator a registration with its record, a node the record with its own.
 */
import { asciiHost } from "../http/host.ts";
import type { WorkerRegistration } from "./schema/worker.ts";

/** One thing of which two say something different. */
export interface Contradiction {
  field: keyof Facts;
  /** As the coordinator has it. */
  recorded: unknown;
  /** As the node has it. */
  given: unknown;
}

/** The record as an answer shows it, or a registration without what is each node's own. */
export type Facts = Omit<WorkerRegistration, "authority" | "node_id" | "supersedes" | "jwt_keys">;

/** In which things a node contradicts the record; none when both say the same, in whatever spelling. */
export function contradictions(recorded: Facts, given: Facts): Contradiction[] {
  return Object.entries(MEANING).flatMap(([name, read]) => {
    const field = name as keyof Facts;
    if (JSON.stringify(read(recorded)) === JSON.stringify(read(given))) return [];
    return [{ field, recorded: recorded[field] ?? null, given: given[field] ?? null }];
  });
}

/** For people: `port_range: [1,2] there, [3,4] here`. */
export function describeContradictions(all: readonly Contradiction[]): string {
  return all
    .map(({ field, recorded, given }) => `${field}: ${JSON.stringify(recorded)} there, ${JSON.stringify(given)} here`)
    .join("; ");
}

// --- internal ---

/** What counts of each. Sets have no order; the original says of TLS that is listened for nothing more. */
const MEANING: { [Field in keyof Facts]-?: (facts: Facts) => unknown } = {
  frontend_mode: (one) => one.frontend_mode,
  protocol: (one) => one.protocol,
  hostname: (one) => asciiHost(one.hostname).toLowerCase(),
  // Whether its URLs are https: where TLS ends is each node's own.
  tls_listen: () => null,
  tls_advertised: (one) => one.tls_advertised || one.tls_listen,
  api_port: (one) => one.api_port,
  port_range: (one) => one.port_range ?? null,
  wildcard_domain: (one) => one.wildcard_domain?.toLowerCase() ?? null,
  wildcard_traffic_port: (one) => one.wildcard_traffic_port ?? null,
  accepted_traffics: (one) => one.accepted_traffics.toSorted(),
  filtered_apps_only: (one) => one.filtered_apps_only,
  app_filters: (one) => [...new Set((one.app_filters ?? []).map(({ key, value }) => `${key}=${value}`))].toSorted(),
  traefik_last_used_marker_path: (one) => one.traefik_last_used_marker_path ?? null,
};
