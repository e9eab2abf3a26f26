/** What listeners are opened with in tests that are not about it. */
import type { ConnectionLimits, ListenOptions } from "../../worker/seam/engine.ts";

/** So long that none is met. */
export const LIMITS: ConnectionLimits = {
  head: 64 * 1024,
  headMs: 60_000,
  idleMs: 60_000,
  bodyMs: 600_000,
  readerMs: 600_000,
};

/** Alone on loopback, at any port, without TLS. */
export const ALONE: ListenOptions = {
  hostname: "127.0.0.1",
  port: 0,
  tls: null,
  sharing: null,
  frontend: { mode: "wildcard" },
  limits: LIMITS,
  proxyHeaders: null,
};
