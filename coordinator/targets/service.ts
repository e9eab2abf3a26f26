/**
 * Where kernels may be (security 7), judged when the platform names them. Workers judge again with every connection: what a
 * name leads to may change, and each knows its own listeners best.
 */
import { addressMatcher } from "../../shared/http/addresses.ts";
import { addressFault, hostFault, kernelHost } from "../../shared/http/kernel.ts";
import { within } from "../../shared/runtime/deadline.ts";
import { createListeners, leadsTo } from "../../shared/runtime/listeners.ts";
import { createResolver, type Resolve } from "../../shared/runtime/resolve.ts";
import { hostPort, type Address } from "../../shared/values.ts";
import type { Deps } from "../deps.ts";
import { listWorkers, type WorkerRow } from "../store/workers.ts";

/** What is wrong with a kernel's host and port, for the field `kernel_host`; null for nothing. */
export type TargetFault = (target: Address) => string | null;

export interface TargetService {
  /**
   * Judges these: what a name leads to is found out, and other services of the platform are kept out. A name that is not
   * known here, or not in time, passes: workers may know it. What is returned answers for these targets alone.
   */
  judge(targets: readonly Address[]): Promise<TargetFault>;
}

/** So long names may take. Milliseconds. */
const RESOLVE_MS = 500;

/** `own` is where this coordinator listens. */
export function createTargetService({ config, database }: Deps, own: () => Address): TargetService {
  const isKernels = addressMatcher(config.proxy_coordinator.kernel_host_cidrs);
  const resolve = soon(createResolver());

  /** As workers do: a name is good for those of its addresses that are. */
  async function faultOf({ host, port }: Address, isOurs: IsOurs): Promise<string | null> {
    const fault = hostFault(host, isKernels);
    if (fault !== null) return `${fault}, got ${JSON.stringify(host)}`;
    let why: string | null = null;
    for (const address of await resolve(kernelHost(host))) {
      const found = addressFault(address, isKernels);
      if (found !== null) why = `${found}, got ${JSON.stringify(host)}, which is ${address}`;
      else if (await isOurs(address, port))
        why = `wanted a kernel's address, got ${hostPort({ host, port })}, where the platform's own services listen`;
      else return null;
    }
    return why;
  }

  return {
    async judge(targets) {
      // A worker that has ended listens nowhere; its row stays.
      const workers = (await database.read((q) => listWorkers(q))).filter(({ status }) => status !== "TERMINATED");
      const isOurs = ourServices(servicesOf(config, own(), workers), workers, resolve);
      const unique = new Map(targets.map((target) => [hostPort(target), target]));
      const judged = await Promise.all(
        [...unique].map(async ([key, target]) => [key, await faultOf(target, isOurs)] as const),
      );
      const faults = new Map(judged);
      return (target) => faults.get(hostPort(target)) ?? null;
    },
  };
}

// --- internal ---

/** Names that are not known, or not in time, have no address: kernels' names the workers may know, and services are not waited for. */
function soon(resolve: Resolve): Resolve {
  return async (host) => {
    try {
      return (await within(RESOLVE_MS, Promise.resolve(resolve(host)))) ?? [];
    } catch {
      return []; // unknown here
    }
  };
}

type IsOurs = (address: string, port: number) => Promise<boolean>;

/** A worker's ports for circuits are its own, also those that none has now: it would lead to another circuit some day. */
function ourServices(services: readonly Address[], workers: readonly WorkerRow[], resolve: Resolve): IsOurs {
  const listeners = createListeners(services, resolve);
  return async (address, port) => {
    if (listeners.mayBeAt(port) && (await listeners.isAt(address, port))) return true;
    for (const { hostname, portLow: low, portHigh: high } of workers) {
      if (low === null || high === null || port < low || port > high) continue;
      if (await leadsTo(hostname, address, resolve)) return true;
    }
    return false;
  };
}

function servicesOf(
  { proxy_coordinator: own, redis, core_redis: core }: Deps["config"],
  at: Address,
  workers: readonly WorkerRow[],
): Address[] {
  const { advertised_addr: advertised } = own;
  return [
    at,
    ...(advertised === null ? [] : [advertised]),
    redis.addr,
    ...(redis.sentinel ?? []),
    ...(core.addr === null ? [] : [core.addr]),
    ...(core.sentinel ?? []),
    ...workers.flatMap(({ hostname: host, apiPort, wildcardTrafficPort: traffic }) => [
      { host, port: apiPort },
      ...(traffic === null ? [] : [{ host, port: traffic }]),
    ]),
  ];
}
