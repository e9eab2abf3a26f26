/** Where a kernel may be: a host name or an address, never one that leads back into the platform's own machinery. */
import ipaddr from "ipaddr.js";
import type { AddressMatcher } from "./addresses.ts";

/** `kernel_host_cidrs` where nothing else is said: private ranges (RFC 1918, RFC 6598, RFC 4193) and loopback. */
export const KERNEL_CIDRS = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "fc00::/7",
  "::1/128",
] as const;

/** Ranges that no kernel is in: this host's "any" address, link-local (cloud metadata), multicast, broadcast. */
const REFUSED = new Set(["unspecified", "broadcast", "multicast", "linkLocal"]);

/** Where clouds answer with a machine's credentials, outside of the link-local range. */
const METADATA = new Set(["100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"]);

/**
 * A host in the one form in which it is kept: names in lower case, addresses as they are usually written, IPv6 without
 * the brackets that it has in a URL, and IPv4 that is written as IPv6 as IPv4. Two spellings of a kernel are one kernel.
 */
export function kernelHost(host: string): string {
  const bare = bareHost(host);
  return ipaddr.isValid(bare) ? ipaddr.process(bare).toString() : bare.toLowerCase();
}

/** What is wrong with a `kernel_host`, or null. Of names only the form is judged: addressFault judges what they lead to. */
export function hostFault(host: string, isKernels: AddressMatcher): string | null {
  const bare = bareHost(host);
  if (ipaddr.isValid(bare)) return addressFault(bare, isKernels);
  return /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/i.test(host) ? null : "wanted a host name or an IP address";
}

/**
 * What is wrong with an IP address as a kernel's, or null (security 7). An IPv6 address that a translator or tunnel turns
 * into IPv4 is judged by that too. `isKernels` is `kernel_host_cidrs`.
 */
export function addressFault(address: string, isKernels: AddressMatcher): string | null {
  const outer = ipaddr.process(address);
  const { inner, isTranslated } = embedded(outer);
  for (const one of inner === null ? [outer] : [outer, inner]) {
    const text = plain(one);
    if (REFUSED.has(one.range()) || text.startsWith("0.") || METADATA.has(text))
      return "wanted an address that a kernel can have";
  }
  // A translator sends it to the IPv4 address; all others are routed as they are, by whoever has such a prefix.
  if ((isTranslated || isKernels(plain(outer))) && (inner === null || isKernels(plain(inner)))) return null;
  return "wanted an address in kernel_host_cidrs";
}

/** The address that is reached: of one that a translator turns into IPv4 that one. For comparisons. */
export function reachedAddress(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const outer = ipaddr.process(address);
  const { inner, isTranslated } = embedded(outer);
  return plain(isTranslated && inner !== null ? inner : outer);
}

// --- internal ---

function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** Without its zone. */
function plain(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  return address.toString().replace(/%.*$/, "");
}

interface Embedded {
  inner: ipaddr.IPv4 | null;
  /** What is sent to the address reaches the IPv4 one. */
  isTranslated: boolean;
}

/** The IPv4 address that an IPv6 one stands for, if any. `ipaddr.process` has undone IPv4-mapped ones. */
function embedded(address: ipaddr.IPv4 | ipaddr.IPv6): Embedded {
  if (address instanceof ipaddr.IPv4) return { inner: null, isTranslated: false };
  const bytes = address.toByteArray();
  const at = (first: number) => new ipaddr.IPv4(bytes.slice(first, first + 4));
  const begins = (...wanted: number[]) => wanted.every((byte, index) => bytes[index] === byte);
  // NAT64 (RFC 6052 §2.1, RFC 8215), and SIIT (RFC 7915): ::ffff:0:a.b.c.d.
  const isNat64 = begins(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0) || begins(0, 0x64, 0xff, 0x9b, 0, 1);
  const isSiit = begins(0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0);
  if (isNat64 || isSiit) return { inner: at(12), isTranslated: true };
  const carried = (inner: ipaddr.IPv4): Embedded => ({ inner, isTranslated: false });
  // 6to4 (RFC 3056 §2).
  if (begins(0x20, 0x02)) return carried(at(2));
  // Teredo (RFC 4380 §4): the client's address, inverted.
  if (begins(0x20, 0x01, 0, 0)) return carried(new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff)));
  // ISATAP (RFC 5214 §6.1), and IPv4-compatible addresses (RFC 4291 §2.5.5.1), which `::1` is none of.
  if ((bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe)
    return carried(at(12));
  const isCompatible = bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 15).some((byte) => byte !== 0);
  return isCompatible ? { inner: at(12), isTranslated: true } : { inner: null, isTranslated: false };
}
