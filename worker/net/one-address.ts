/** One address of a target, for `fetch`, which would resolve a name again: what was judged is what is dialled. */
import { dial } from "./dial.ts";
import type { Target } from "./targets.ts";

/** How long an address that took a connection is used without trying the others again. Milliseconds. */
const GOOD_MS = 2000;

const known = new WeakMap<Target, { address: string; until: number }>();

/**
 * The only address of a target, or of several the first that accepts a connection (which is closed again). Throws or rejects
 * with an UpstreamFault.
 */
export function oneAddress(target: Target): string | Promise<string> {
  const addresses = target.addresses();
  return addresses instanceof Promise ? addresses.then((found) => choose(target, found)) : choose(target, addresses);
}

// --- internal ---

function choose(target: Target, addresses: readonly string[]): string | Promise<string> {
  const [first = "", ...others] = addresses;
  if (others.length === 0) return first;
  const last = known.get(target);
  // Whether it is still an address of the name, and may still be dialled, was seen just now.
  if (last !== undefined && performance.now() < last.until && addresses.includes(last.address)) return last.address;
  return tryAll(target, addresses);
}

async function tryAll(target: Target, addresses: readonly string[]): Promise<string> {
  const ignore = () => undefined;
  const { host, port } = target;
  const socket = await dial({ host, port, addresses: () => addresses }, undefined, { data: ignore, error: ignore })
    .socket;
  const address = socket.remoteAddress;
  socket.terminate();
  known.set(target, { address, until: performance.now() + GOOD_MS });
  return address;
}
