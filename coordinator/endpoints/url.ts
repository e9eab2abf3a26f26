/** URLs of model services: the one that a circuit has, and what an old one says about where its circuit was. Pure. */
import { Failure } from "../../shared/failure.ts";
import { originAt } from "../../shared/http/host.ts";
import type { CircuitRow } from "../store/circuits.ts";
import type { SlotRequest } from "../placement/slot.ts";
import type { LivingWorker, WorkerRow } from "../store/workers.ts";

/** Where clients of a model service send their requests; ends with a slash, as the original's does. */
export function endpointUrl(row: CircuitRow, worker: WorkerRow): string {
  const scheme = worker.tlsListen || worker.tlsAdvertised ? "https" : "http";
  const origin =
    row.frontendMode === "wildcard"
      ? originAt(scheme, `${row.subdomain ?? ""}${worker.wildcardDomain ?? ""}`, worker.wildcardTrafficPort)
      : originAt(scheme, worker.hostname, row.port);
  return `${origin}/`;
}

/** Where a URL leads: a worker and its slot; null when no living worker that carries model services has it. */
export function slotOfUrl(
  url: string,
  workers: readonly LivingWorker[],
): { worker: LivingWorker; slot: Pick<SlotRequest, "port" | "subdomain" | "isLabel"> } | null {
  const { hostname, port: given, protocol } = parse(url);
  const carrying = workers.filter((one) => one.protocol === "http" && one.acceptedTraffics.includes("inference"));
  const dot = hostname.indexOf(".");
  const parent = dot === -1 ? null : hostname.slice(dot);
  const label = hostname.slice(0, Math.max(0, dot));
  const wildcard = carrying.find(
    (one) =>
      one.frontendMode === "wildcard" && parent !== null && normal(one.wildcardDomain?.slice(1)) === parent.slice(1),
  );
  if (wildcard !== undefined)
    return LABEL.test(label) ? { worker: wildcard, slot: { port: null, subdomain: label, isLabel: true } } : null;
  const port = given === "" ? (protocol === "https:" ? 443 : 80) : Number(given);
  const worker = carrying.find(
    ({ frontendMode, hostname: host, portLow, portHigh }) =>
      frontendMode === "port" && normal(host) === hostname && port >= (portLow ?? 1) && port <= (portHigh ?? 0),
  );
  return worker === undefined ? null : { worker, slot: { port, subdomain: null } };
}

// --- internal ---

/** RFC 1035 §2.3.1, with digits first as RFC 1123 §2.1 has it. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A host as URLs have it: lower case, punycode, IPv6 in brackets. */
function normal(host = ""): string {
  const url = `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}`;
  return URL.canParse(url) ? new URL(url).hostname : host.toLowerCase();
}

function parse(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed !== null && /^https?:$/.test(parsed.protocol) && parsed.hostname !== "") return parsed;
  throw new Failure(
    "invalid-api-params",
    `tags.endpoint.existing_url: wanted an http or https URL, got ${JSON.stringify(url.slice(0, 80))}`,
  );
}
