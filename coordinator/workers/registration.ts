/** What the schema of a registration can't say. Called for workers that register, and for those of the original's database. Pure. */
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";

/** What is wrong with a registration, naming the field; null when nothing is. */
export function registrationFault(wanted: WorkerRegistration): string | null {
  const range = wanted.port_range ?? null;
  if (wanted.frontend_mode === "port" && (range === null || (range[0] ?? 0) > (range[1] ?? 0)))
    return `port_range: wanted [first, last] for a worker in port mode, got ${JSON.stringify(range)}`;
  const { hostname } = wanted;
  if (!isUsable(hostname.includes(":") ? `[${hostname}]` : hostname))
    return `hostname: wanted a host name or an IP address, got ${JSON.stringify(hostname)}`;
  const domain = wanted.wildcard_domain ?? null;
  if (wanted.frontend_mode === "wildcard" && (domain?.startsWith(".") !== true || !isUsable(`app${domain}`)))
    return `wildcard_domain: wanted a domain that starts with a dot, got ${JSON.stringify(domain)}`;
  return null;
}

// --- internal ---

/** Whether a host can stand in a URL, and nothing but a host: circuits' URLs are made of it. */
function isUsable(host: string): boolean {
  return !/[\s/?#@\\]/.test(host) && URL.canParse(`http://${host}:1/`);
}
