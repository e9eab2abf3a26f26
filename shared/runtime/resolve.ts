/** Names to addresses, for who must know an address before it is dialled. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

/** The addresses of a host, best first (RFC 6724); an address is its own. Rejects when the name is unknown. */
export type Resolve = (host: string) => readonly string[] | Promise<readonly string[]>;

/** How long an answer is good: many connections at once ask one question. Milliseconds. */
const TTL_MS = 1000;
const MAX_KNOWN = 1000;

interface Known {
  addresses: Promise<readonly string[]>;
  /** performance.now() milliseconds. */
  until: number;
}

/** Asks the system, as all that connects by name does (`/etc/hosts`, DNS). */
export function createResolver(): Resolve {
  const known = new Map<string, Known>();

  function ask(host: string): Promise<readonly string[]> {
    const addresses = lookup(host, { all: true }).then((found) => found.map(({ address }) => address));
    const one = { addresses, until: Infinity };
    known.set(host, one);
    const settled = () => {
      one.until = performance.now() + TTL_MS;
    };
    // Who asked hears of a failure; others ask again.
    addresses.then(settled, () => known.get(host) === one && known.delete(host));
    const oldest = known.keys().next();
    if (known.size > MAX_KNOWN && oldest.done === false) known.delete(oldest.value);
    return addresses;
  }

  return (host) => {
    if (isIP(host) !== 0) return [host];
    const one = known.get(host);
    if (one !== undefined && performance.now() <= one.until) return one.addresses;
    known.delete(host);
    return ask(host);
  };
}
