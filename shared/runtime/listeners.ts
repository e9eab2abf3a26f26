/** Whether an address and port lead to one of the product's own listeners, Redis or another service that no kernel is. */
import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";
import { canonicalAddress } from "../http/addresses.ts";
import { reachedAddress } from "../http/kernel.ts";
import type { Address } from "../values.ts";
import type { Resolve } from "./resolve.ts";

/** Of what is listened on, by where it is told to be. */
export interface Listeners {
  /** Whether one of them may be at `port`: cheap, for who asks with every connection. */
  mayBeAt(port: number): boolean;
  /** Whether one of them is at this address and port. Rejects never: a name that leads nowhere has no listener. */
  isAt(address: string, port: number): Promise<boolean>;
}

/** A service at an address of this machine counts at all of them: where it listens in truth is not told. */
export function createListeners(services: readonly Address[], resolve: Resolve): Listeners {
  const byPort = Map.groupBy(services, ({ port }) => port);
  return {
    mayBeAt: (port) => byPort.has(port),
    async isAt(address, port) {
      for (const { host } of byPort.get(port) ?? []) if (await leadsTo(host, address, resolve)) return true;
      return false;
    },
  };
}

/** Whether a socket that is bound to `host` (an address, a name, or "any") hears what is sent to `address`. */
export async function hears(host: string, address: string, resolve: Resolve): Promise<boolean> {
  const wanted = reachedAddress(address);
  const bound = await addressesOf(host, resolve);
  return bound.some((one) => one === wanted || (isAny(one) && isOwnAddress(wanted)));
}

/** Whether a service that is told to be at `host` may be at `address`. */
export async function leadsTo(host: string, address: string, resolve: Resolve): Promise<boolean> {
  const wanted = reachedAddress(address);
  const isOurs = isOwnAddress(wanted);
  const found = await addressesOf(host, resolve);
  return found.some((one) => one === wanted || (isOurs && (isAny(one) || isOwnAddress(one))));
}

/** Whether an address is one of this machine's: loopback, or of one of its interfaces. */
export function isOwnAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() === "loopback") return true;
  const text = parsed.toString();
  return Object.values(networkInterfaces()).some((all) => all?.some((one) => canonicalAddress(one.address) === text));
}

// --- internal ---

/** None for a name that leads nowhere. */
async function addressesOf(host: string, resolve: Resolve): Promise<string[]> {
  try {
    return (await resolve(host)).map(canonicalAddress);
  } catch {
    return []; // An unknown name: nothing listens there.
  }
}

/** 0.0.0.0 and ::, which mean all addresses of a machine. */
function isAny(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "unspecified";
}
