/** What listeners are opened with in tests that are not about it. */
import { silentLog } from "../../shared/runtime/log.ts";
import { Connections } from "../../worker/net/connections.ts";
import { Crowding } from "../../shared/net/crowding.ts";
import { ServedFiles } from "../../shared/net/served-files.ts";
import { UnfinishedMessages } from "../../worker/net/unfinished.ts";
import type { ConnectionLimits, ListenOptions, Room } from "../../worker/seam/engine.ts";

/** So long that none is met. */
export const LIMITS: ConnectionLimits = {
  head: 64 * 1024,
  headMs: 60_000,
  idleMs: 60_000,
  bodyMs: 600_000,
  readerMs: 600_000,
};

/** So much that none of it is missed. */
export function roomy(): Room {
  const crowding = new Crowding(silentLog());
  const most = 1_000_000;
  return {
    connections: new Connections({
      connections: most,
      ofAddress: most,
      files: 3 * most,
      isExempt: () => false,
      crowding,
    }),
    served: new ServedFiles({ limit: most, crowding, log: silentLog() }),
    messages: new UnfinishedMessages({ limit: 2 ** 40, log: silentLog() }),
  };
}

/** Alone on loopback, at any port, without TLS. */
export const ALONE: ListenOptions = {
  hostname: "127.0.0.1",
  port: 0,
  tls: null,
  sharing: null,
  frontend: { mode: "wildcard" },
  limits: LIMITS,
  proxyHeaders: null,
  room: roomy(),
};
