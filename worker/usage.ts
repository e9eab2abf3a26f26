/**
 * Accounting: how often circuits are used and when bytes last moved. Gathered in memory, written at most once a second
 * in one round trip. While the store is away nothing is lost; what is kept is one entry a circuit.
 */
import { reason } from "../shared/failure.ts";
import type { CircuitUse, LiveData } from "../shared/live/live.ts";
import type { Log } from "../shared/log.ts";
import type { Circuit } from "../shared/schema/circuit.ts";

export interface Usage {
  /** A request, WebSocket or TCP connection begins. */
  request(circuit: Circuit): void;
  /** Bytes moved in either direction. Cheap: called for every chunk. */
  moved(circuit: Circuit): void;
  /** Writes what is gathered and stops. */
  stop(): Promise<void>;
}

const FLUSH_MS = 1000;

export function createUsage(live: LiveData, log: Log, now: () => number): Usage {
  let circuits = new Map<string, CircuitUse>();
  let sessions = new Map<string, number>();
  let flushing: Promise<void> | null = null;
  const timer = setInterval(() => {
    flushing ??= flush().finally(() => (flushing = null));
  }, FLUSH_MS);

  function note(circuit: Circuit, requests: number): void {
    const at = now() / 1000;
    const use = circuits.get(circuit.id);
    if (use === undefined) circuits.set(circuit.id, { requests, lastAccess: at });
    else {
      use.requests += requests;
      use.lastAccess = at;
    }
    for (const session of circuit.session_ids) sessions.set(session, at);
  }

  async function flush(): Promise<void> {
    if (circuits.size === 0) return;
    const batch = { circuits, sessions };
    circuits = new Map();
    sessions = new Map();
    try {
      await live.record(batch);
    } catch (error) {
      log.debug({ reason: reason(error) }, "usage kept for later: live data is away");
      putBack(batch);
    }
  }

  function putBack(batch: { circuits: Map<string, CircuitUse>; sessions: Map<string, number> }): void {
    for (const [id, old] of batch.circuits) {
      const use = circuits.get(id);
      if (use === undefined) circuits.set(id, old);
      else use.requests += old.requests;
    }
    for (const [id, at] of batch.sessions) if (!sessions.has(id)) sessions.set(id, at);
  }

  return {
    request: (circuit) => note(circuit, 1),
    moved: (circuit) => note(circuit, 0),
    async stop() {
      clearInterval(timer);
      await flushing;
      await flush();
    },
  };
}
