/**
 * Where the worker's API is reached over IPv4 alone, and over IPv6 alone. A client has an address of each kind and shows the one
 * that it comes with; over the other family it shows the other one (second-look.ts, other-family.ts). What is configured counts,
 * else where the API's own name leads.
 */
import ipaddr from "ipaddr.js";
import { isIP } from "node:net";
import { canonicalAddress, isLoopback } from "../../shared/http/addresses.ts";
import { originAt } from "../../shared/http/host.ts";
import { within } from "../../shared/runtime/deadline.ts";
import type { Resolve } from "../../shared/runtime/resolve.ts";
import type { Address } from "../../shared/values.ts";

export type Family = "IPv4" | "IPv6";

/** The way of a second look: over the family that the client has not shown, and back over the one that it has. */
export interface TwoFamilies {
  there: string;
  back: string;
}

export interface Families {
  /** The API's origin for a client that comes over this family, and has also shown `address`; null when none is known. */
  at(family: Family, address: string): Promise<string | null>;
  /** Both ways for a client that has shown this address; null where there are not two. */
  around(address: string): Promise<TwoFamilies | null>;
}

export interface FamilySettings {
  scheme: "http" | "https";
  /** How clients reach the API. Asked for with the first look. */
  advertised: () => Address;
  /** The same over one family alone, where that is configured. */
  ipv4: Address | null;
  ipv6: Address | null;
  resolve: Resolve;
}

export function createFamilies({ scheme, advertised, ipv4, ipv6, resolve }: FamilySettings): Families {
  async function addressesOf(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    // A certificate has the API's name, hardly ever its addresses.
    if (scheme === "https") return [];
    // A name that leads nowhere is known over no family.
    return (
      (await within(
        RESOLVE_MS,
        Promise.resolve(resolve(host)).catch(() => []),
      )) ?? []
    );
  }

  async function at(family: Family, address: string): Promise<string | null> {
    const configured = family === "IPv4" ? ipv4 : ipv6;
    if (configured !== null) return originAt(scheme, configured.host, configured.port);
    const { host, port } = advertised();
    const found = (await addressesOf(host)).find((one) => familyOf(one) === family && leadsFrom(one, address));
    return found === undefined ? null : originAt(scheme, found, port);
  }

  return {
    at,
    async around(address) {
      const family = familyOf(address);
      if (family === null) return null;
      const there = await at(otherThan(family), address);
      if (there === null) return null;
      const { host, port } = advertised();
      // By the name the client has come over this family before.
      const back = (await at(family, address)) ?? (isIP(host) === 0 ? originAt(scheme, host, port) : null);
      return back === null || back === there ? null : { there, back };
    },
  };
}

/** Of which kind an address is, mapped ones as what they stand for; null for other text. */
export function familyOf(address: string): Family | null {
  const kind = isIP(canonicalAddress(address));
  return kind === 0 ? null : kind === 4 ? "IPv4" : "IPv6";
}

export function otherThan(family: Family): Family {
  return family === "IPv4" ? "IPv6" : "IPv4";
}

// --- internal ---

/** A person waits meanwhile. Milliseconds. */
const RESOLVE_MS = 1000;

/** `/etc/hosts` may have a machine's own name at 127.0.1.1, where a client on another one finds itself. */
function leadsFrom(one: string, client: string): boolean {
  const range = ipaddr.process(one).range();
  if (range === "loopback") return isLoopback(client);
  return range !== "unspecified" && range !== "linkLocal";
}
