/** Where browsers find this worker's circuits, and its own API. */
import { originAt } from "../shared/http/host.ts";
import type { Circuit } from "../shared/protocol/schema/circuit.ts";
import type { Address } from "../shared/values.ts";
import type { WorkerConfig } from "./config/table.ts";

/**
 * Scheme, host and port of a circuit, without a slash at the end: where a browser can go, unless an older coordinator has given
 * it a name that can't stand under the domain. `wildcardPort` is the one that wildcard traffic listens on.
 */
export function circuitOrigin(circuit: Circuit, { proxy_worker: worker }: WorkerConfig, wildcardPort: number): string {
  const scheme = worker.tls_advertised ? "https" : "http";
  const { port_proxy: ports, wildcard_domain: wildcard } = worker;
  if (circuit.frontend_mode === "port") {
    return originAt(scheme, ports.advertised_host ?? ports.bind_host, circuit.port ?? 0);
  }
  return originAt(
    scheme,
    `${circuit.subdomain ?? ""}${wildcard.domain ?? ""}`,
    wildcard.advertised_port ?? wildcardPort,
  );
}

/** The same, reckoned once for each state of a circuit: where it is the scheme's own port, every request asks. */
export function circuitOrigins(config: WorkerConfig, wildcardPort: () => number): (circuit: Circuit) => string {
  const known = new WeakMap<Circuit, string>();
  return (circuit) => {
    const found = known.get(circuit) ?? circuitOrigin(circuit, config, wildcardPort());
    known.set(circuit, found);
    return found;
  };
}

/** Where clients find the worker's own API, as the coordinator is told; `apiPort` is where it was opened. */
export function apiAddress({ proxy_worker: own }: WorkerConfig, apiPort: number): Address {
  const ofPorts = own.frontend_mode === "port" ? own.port_proxy.advertised_host : null;
  return {
    host: own.api_advertised_addr?.host ?? ofPorts ?? own.api_bind_addr.host,
    port: own.api_advertised_addr?.port ?? apiPort,
  };
}

/** The port that this process binds for a port seen from outside; null when it is not of its range. */
export function bindPort(advertised: number, { proxy_worker: { port_proxy: ports } }: WorkerConfig): number | null {
  const bound = ports.bind_port_range;
  if (bound === null) return null;
  const low = (ports.advertised_port_range ?? bound)[0];
  const port = bound[0] + (advertised - low);
  return port >= bound[0] && port <= bound[1] ? port : null;
}
