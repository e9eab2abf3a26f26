/**
 * Client address lists (`allowed_client_ips`, CIDR settings): parse once, match per connection.
 * IPv4-mapped IPv6 addresses match IPv4 entries; an unreadable list denies everyone.
 */
import ipaddr from "ipaddr.js";

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Whether an entry is one address or one CIDR range. */
export function isRange(entry: string): boolean {
  return parseRange(entry) !== null;
}

/** Answers whether an address is in the list it was made from. */
export type AddressMatcher = (address: string) => boolean;

/** The entries of a comma-separated list that are neither an IP address nor a CIDR range. */
export function invalidEntries(list: string): string[] {
  return entries(list).filter((entry) => parseRange(entry) === null);
}

/** Compiles a comma-separated list or an array of entries. One bad entry makes the matcher deny everything. */
export function addressMatcher(list: string | readonly string[]): AddressMatcher {
  const ranges: Range[] = [];
  for (const entry of typeof list === "string" ? entries(list) : list) {
    const range = parseRange(entry);
    if (range === null) return () => false;
    ranges.push(range);
  }
  // An empty list is asked with every request of a worker without load balancers.
  if (ranges.length === 0) return () => false;
  return (address) => {
    if (!ipaddr.isValid(stripZone(address))) return false;
    const parsed = ipaddr.process(stripZone(address));
    return ranges.some(([base, bits]) => base.kind() === parsed.kind() && parsed.match(base, bits));
  };
}

/** One form of an address, which has many spellings: load balancers and sockets do not choose the same. Other text stays. */
export function canonicalAddress(address: string): string {
  return ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
}

/** Whether an address is one of the machine itself that only the machine has. */
export function isLoopback(address: string): boolean {
  return ipaddr.isValid(stripZone(address)) && ipaddr.process(stripZone(address)).range() === "loopback";
}

// --- internal ---

function entries(list: string): string[] {
  return list
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function parseRange(entry: string): Range | null {
  // Short, octal and hexadecimal forms (10/8, 010.0.0.0, 0x7f000001) mean other addresses to other programs.
  if (!entry.includes(":") && !ipaddr.IPv4.isValidFourPartDecimal(entry.split("/", 1)[0] ?? "")) return null;
  try {
    if (!entry.includes("/")) {
      const address = ipaddr.process(entry);
      return [address, address.kind() === "ipv4" ? 32 : 128];
    }
    const [address, bits] = ipaddr.parseCIDR(entry);
    // ::ffff:10.0.0.0/104 says the same as 10.0.0.0/8.
    if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
      return [address.toIPv4Address(), bits - 96];
    }
    return [address, bits];
  } catch {
    return null; // ipaddr.js throws on text that is no address; the callers name the entry.
  }
}

function stripZone(address: string): string {
  const zone = address.indexOf("%");
  return zone === -1 ? address : address.slice(0, zone);
}
