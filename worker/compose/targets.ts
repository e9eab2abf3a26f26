/** Where this worker connects to for circuits: kernels, and nothing of the platform's own (security 7). */
import { addressMatcher } from "../../shared/http/addresses.ts";
import { createListeners, hears, leadsTo } from "../../shared/runtime/listeners.ts";
import { createResolver } from "../../shared/runtime/resolve.ts";
import type { Address } from "../../shared/values.ts";
import type { WorkerConfig } from "../config/table.ts";
import type { Frontends } from "../listeners/frontends.ts";
import { createTargets, type Targets } from "../net/targets.ts";

interface Own {
  /** The listeners of circuits; asked for when something is dialled. */
  frontends: () => Frontends;
  /** Where the worker's own API was opened. */
  apiPort: () => number;
}

export function createOwnTargets(config: WorkerConfig, { frontends, apiPort }: Own): Targets {
  const { proxy_worker: own } = config;
  const resolve = createResolver();
  const isPort = own.frontend_mode === "port";
  const bound = isPort ? own.port_proxy.bind_host : own.wildcard_domain.bind_addr.host;
  const seenAs = own.port_proxy.advertised_host ?? bound;
  let services: ReturnType<typeof createListeners> | null = null;
  const known = () => (services ??= createListeners(servicesOf(config, apiPort()), resolve));
  return createTargets({
    isKernels: addressMatcher(own.kernel_host_cidrs),
    services: {
      mayBeAt: (port) => known().mayBeAt(port),
      isAt: (address, port) => known().isAt(address, port),
    },
    frontend: {
      has: (port) => frontends().listensAt(port),
      leadsTo: async (address) =>
        (await hears(bound, address, resolve)) || (seenAs !== bound && (await leadsTo(seenAs, address, resolve))),
    },
    resolve,
  });
}

// --- internal ---

/** What this worker knows of the services that the platform is made of. */
function servicesOf({ proxy_worker: own, redis }: WorkerConfig, apiPort: number): Address[] {
  const { hostname, port, protocol } = new URL(own.coordinator_endpoint);
  const coordinator = {
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port) || (protocol === "https:" ? 443 : 80),
  };
  return [
    coordinator,
    { host: own.api_bind_addr.host, port: apiPort },
    ...[own.api_advertised_addr, own.api_advertised_addr_ipv4, own.api_advertised_addr_ipv6].filter(
      (one) => one !== null,
    ),
    redis.addr,
    ...(redis.sentinel ?? []),
  ];
}
