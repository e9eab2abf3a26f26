/** What the engine on raw sockets can do; it has no deviation from the contract. */
import type { Capabilities } from "../../seam/capabilities.ts";

export const SOCKETS_CAPABILITIES = {
  trailers: true,
  tunnels: true,
  deviations: {},
} as const satisfies Capabilities;
