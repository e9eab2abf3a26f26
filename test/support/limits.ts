/** Limits of connections for tests that are not about them. */
import type { ConnectionLimits } from "../../worker/seam/engine.ts";

export const LIMITS: ConnectionLimits = {
  head: 64 * 1024,
  headMs: 60_000,
  idleMs: 60_000,
  bodyMs: 600_000,
  readerMs: 600_000,
};
