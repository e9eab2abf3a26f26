/** Asks an address whether anybody is there, and tells a refusal from everything else that is no connection. */
import { isIPv6 } from "node:net";
import { UpstreamFault } from "./upstream-fault.ts";
import { dial, reach } from "./dial.ts";
import type { Target } from "./targets.ts";

/** What came of a connection. `unknown`: nothing answered, or what did was not the address itself. */
export type ProbeResult = "accepted" | "refused" | "unknown";

/** A refusal comes within a round trip. Linux gives up on a machine that is gone after 3 s, and Bun calls that refused. */
const REFUSAL_MS = 2000;

/** Resolves true when the target accepts a TCP connection within the connect limit. Never rejects. */
export async function accepts(target: Target): Promise<boolean> {
  return (await reach(target)) === true;
}

/** Connects and leaves at once, for who must know that nobody is there: only a refusal proves it. Never rejects. */
export async function probeTcp(target: Target): Promise<ProbeResult> {
  try {
    const ignore = () => undefined;
    const { socket } = dial(target, undefined, { data: ignore, error: ignore }, { limit: REFUSAL_MS });
    (await socket).terminate();
    return "accepted";
  } catch (error) {
    const isRefusal = error instanceof UpstreamFault && codeOf(error.cause) === "ECONNREFUSED";
    return isRefusal && (await hasWay(target)) ? "refused" : "unknown";
  }
}

// --- internal ---

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}

/** Bun also calls it refused when this machine knows no way there. Connecting UDP sends nothing and tells. */
async function hasWay({ host, port }: Target): Promise<boolean> {
  try {
    const hostname = isIPv6(host) ? "::" : "0.0.0.0";
    (await Bun.udpSocket({ hostname, connect: { hostname: host, port } })).close();
    return true;
  } catch (error) {
    // A name that has IPv6 addresses only: no way over IPv4 says nothing.
    return codeOf(error) === "EAFNOSUPPORT";
  }
}
