/** What has to be known of a port before a listener that may share it is opened there. */
import { assertPortFree } from "../../shared/ports.ts";
import type { Sharing } from "./engine.ts";

/** What was found on a port. */
export interface Claim {
  /** Listeners of the process that is taken over from. */
  elders: readonly number[];
  /** Resolves when that has ended; null when it is not here. */
  alone: Promise<void> | null;
}

/** Of a port that nobody else listens on. */
export const UNSHARED: Claim = { elders: [], alone: null };

/**
 * Gives the listeners of the process that is taken over from, if they are all that stands on the port. Throws when it is
 * a stranger's: he would silently get some of our connections, or we his.
 */
export function claimPort(hostname: string, port: number, sharing: Sharing | null): Claim {
  try {
    assertPortFree(hostname, port);
    return UNSHARED;
  } catch (error) {
    const elders = sharing?.listeners(port) ?? [];
    if (sharing !== null && elders.length > 0) return { elders, alone: sharing.alone };
    const isTaken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
    throw isTaken ? new Error(`port ${port} is in use by another process`, { cause: error }) : error;
  }
}
