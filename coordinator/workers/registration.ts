/** What the schema of a registration can't say. Called for workers that register, and for those of the original's database. Pure. */
import { isUrlHost } from "../../shared/http/host.ts";
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";

/** What is wrong with a registration, naming the field; null when nothing is. */
export function registrationFault(wanted: WorkerRegistration): string | null {
  const range = wanted.port_range ?? null;
  if (wanted.frontend_mode === "port" && (range === null || (range[0] ?? 0) > (range[1] ?? 0)))
    return `port_range: wanted [first, last] for a worker in port mode, got ${JSON.stringify(range)}`;
  const { hostname } = wanted;
  if (!isUrlHost(hostname)) return `hostname: wanted a host name or an IP address, got ${JSON.stringify(hostname)}`;
  const domain = wanted.wildcard_domain ?? null;
  if (wanted.frontend_mode === "wildcard" && (domain?.startsWith(".") !== true || !isUrlHost(`app${domain}`)))
    return `wildcard_domain: wanted a domain that starts with a dot, got ${JSON.stringify(domain)}`;
  return null;
}
