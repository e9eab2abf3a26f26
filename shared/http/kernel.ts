/** Where a kernel may be: a host name or an address, never one that leads back into the platform's own machinery. */
import ipaddr from "ipaddr.js";

/** Ranges that no kernel is in: this host's "any" address, link-local (cloud metadata), multicast, broadcast. */
const REFUSED = new Set(["unspecified", "broadcast", "multicast", "linkLocal"]);

/**
 * A host in the one form in which it is kept: names in lower case, addresses as they are usually written, IPv6 without
 * the brackets that it has in a URL, and IPv4 that is written as IPv6 as IPv4. Two spellings of a kernel are one kernel.
 */
export function kernelHost(host: string): string {
  const bare = bareHost(host);
  return ipaddr.isValid(bare) ? ipaddr.process(bare).toString() : bare.toLowerCase();
}

/** What is wrong with a `kernel_host`, or null. Names are taken as they are; only their form is judged. */
export function hostFault(host: string): string | null {
  const bare = bareHost(host);
  if (!ipaddr.isValid(bare)) {
    return /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/i.test(host) ? null : "wanted a host name or an IP address";
  }
  const address = ipaddr.process(bare);
  if (REFUSED.has(address.range()) || address.toString().startsWith("0."))
    return "wanted an address that a kernel can have";
  return null;
}

// --- internal ---

function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}
