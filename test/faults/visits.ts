/** A person's browser: enters a circuit and asks it, at whichever node the load balancer would have sent it to. */
import { WILDCARD_DOMAIN, type Authority, type Cluster, type Node } from "./cluster.ts";
import type { Identity } from "./kernels.ts";

/** Where a circuit is reached. */
export interface Slot {
  authority: Authority;
  port: number | null;
  subdomain: string | null;
}

export type Visit =
  /** An app has answered, and said whose it is. */
  | { is: "answered"; by: Identity }
  /** The worker has answered instead of an app. */
  | { is: "refused"; status: number }
  | { is: "broken"; why: string };

/** How a node is asked for a circuit. */
export interface Place {
  /** Without a slash at the end. */
  origin: string;
  headers: Record<string, string>;
}

export function placeOf(
  { wildcardPort }: Cluster,
  { host }: Pick<Node, "host">,
  { port, subdomain }: Omit<Slot, "authority">,
): Place {
  if (port !== null) return { origin: `http://${host}:${port}`, headers: {} };
  const name = `${subdomain ?? ""}${WILDCARD_DOMAIN}:${wildcardPort}`;
  return { origin: `http://${host}:${wildcardPort}`, headers: { Host: name } };
}

/** Asks for a circuit's app at one node. */
export async function visit(place: Place, headers: Record<string, string>): Promise<Visit> {
  try {
    const answer = await patient(`${place.origin}/`, { ...place.headers, ...headers });
    if (!answer.ok) {
      await answer.body?.cancel();
      return { is: "refused", status: answer.status };
    }
    return { is: "answered", by: (await answer.json()) as Identity };
  } catch (error) {
    return { is: "broken", why: error instanceof Error ? error.message : String(error) };
  }
}

/** Follows the coordinator's link at this node. Gives the way in, or null when it did not work out. */
export async function enter(
  cluster: Cluster,
  node: Node,
  redirectUrl: string,
): Promise<{ slot: Slot; cookie: string } | null> {
  try {
    const setup = await patient(`${node.api}/setup${new URL(redirectUrl).search}`, {});
    await setup.body?.cancel();
    const location = setup.headers.get("location");
    if (location === null) return null;
    const { hostname, port, pathname, search } = new URL(location);
    const { authority } = node;
    const slot = hostname.endsWith(WILDCARD_DOMAIN)
      ? { authority, port: null, subdomain: hostname.slice(0, -WILDCARD_DOMAIN.length) }
      : { authority, port: Number(port), subdomain: null };
    // A public circuit needs no permit: the link leads straight to the app.
    if (!pathname.startsWith("/_appproxy/")) return { slot, cookie: "" };
    const place = placeOf(cluster, node, slot);
    const entered = await patient(place.origin + pathname + search, place.headers);
    await entered.body?.cancel();
    const cookie = entered.headers.getSetCookie().map((line) => line.split(";", 1)[0]);
    return entered.status === 303 ? { slot, cookie: cookie.join("; ") } : null;
  } catch {
    return null; // the node or its Redis is away; the circuit is opened again later
  }
}

/** Whether a TCP connection is accepted. */
export async function accepts(host: string, port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: host, port, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch {
    return false; // refused, as a port without a circuit should
  }
}

// --- internal ---

/** Longer than a node is stopped. Milliseconds. */
const PATIENCE_MS = 15_000;

function patient(url: string, headers: Record<string, string>): Promise<Response> {
  return fetch(url, { redirect: "manual", keepalive: false, headers, signal: AbortSignal.timeout(PATIENCE_MS) });
}
