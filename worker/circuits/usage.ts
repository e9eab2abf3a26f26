/**
 * Accounting: how often circuits are used, and when they last were: when bytes moved or a WebSocket or TCP connection was
 * open. Gathered in memory, written at most once a second in one round trip. While the store is away nothing is lost; what
 * is kept is one entry a circuit.
 */
import { reason } from "../../shared/failure.ts";
import type { CircuitUse, LiveData } from "../../shared/live/live.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";

/** The use of one circuit. Cheap to call: a circuit's requests and chunks find it without a look-up. */
export interface CircuitUsage {
  readonly circuit: Circuit;
  /** A request, WebSocket or TCP connection begins. */
  request(): void;
  /** Bytes moved in either direction. Bound, so that it can be handed on as it is. */
  readonly moved: () => void;
  /** A WebSocket or TCP connection is open from now on; to call what this gives, once, says that it is not any more. */
  opened(): () => void;
}

export interface UsageOptions {
  /** Whether a connection over which nothing moves is use. The original marks it every 1.5 s while it is open. */
  openConnections: boolean;
}

export interface Usage {
  /** What the circuit's traffic reports to; kept by the caller as long as the circuit is the same. */
  of(circuit: Circuit): CircuitUsage;
  /** Requests since the start, of all circuits. */
  requests(): number;
  /** True while there is activity that could not be written: what the platform reads of it is old. */
  delayed(): boolean;
  /** Writes what is gathered and stops. */
  stop(): Promise<void>;
}

const FLUSH_MS = 1000;
/** So many busy circuits are written in a batch without a longer pause after it. */
const SMALL_BATCH = 2000;
const LONGEST_PAUSE_MS = 5000;
/** The rhythm of the original's marks: a platform that was set up for that ends nothing that is in use. */
const MARK_MS = 1500;

export function createUsage(live: LiveData, log: Log, now: () => number, { openConnections }: UsageOptions): Usage {
  /** Circuits with open connections. */
  const open = new Set<Gathered>();
  let markAt = 0;
  /** Circuits that were used since the last flush. */
  let busy: Gathered[] = [];
  /** What could not be written yet: an entry a circuit and session. */
  let circuits = new Map<string, CircuitUse>();
  let sessions = new Map<string, number>();
  let flushing: Promise<void> | null = null;
  let notBefore = 0;
  let delayed = false;
  const total = { requests: 0 };
  const timer = setInterval(() => {
    if (performance.now() < notBefore) return;
    flushing ??= flush().finally(() => (flushing = null));
  }, FLUSH_MS);

  function mark(): void {
    if (performance.now() < markAt) return;
    markAt = performance.now() + MARK_MS;
    for (const use of open) use.moved();
  }

  function gather(): void {
    if (openConnections) mark();
    for (const use of busy) {
      const { circuit, requests, lastAccess } = use.take();
      // A circuit that has changed is there twice, and what could not be written before.
      const before = circuits.get(circuit.id) ?? { requests: 0, lastAccess: 0 };
      const last = Math.max(lastAccess, before.lastAccess);
      circuits.set(circuit.id, { requests: before.requests + requests, lastAccess: last });
      for (const session of circuit.session_ids)
        sessions.set(session, Math.max(lastAccess, sessions.get(session) ?? 0));
    }
    busy = [];
  }

  async function flush(): Promise<void> {
    gather();
    if (circuits.size === 0) return;
    const batch = { circuits, sessions };
    circuits = new Map();
    sessions = new Map();
    // Writing costs as much as carrying a request: ten thousand busy circuits are told of every five seconds.
    notBefore =
      performance.now() +
      Math.min(LONGEST_PAUSE_MS, ((batch.circuits.size + batch.sessions.size) / SMALL_BATCH) * FLUSH_MS) -
      FLUSH_MS / 2;
    try {
      await live.record(batch);
      delayed = false;
    } catch (error) {
      delayed = true;
      log.debug({ reason: reason(error) }, "live data is away: usage is kept in memory and written later");
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
    of: (circuit) => new Gathered(circuit, now, total, (use) => busy.push(use), open),
    requests: () => total.requests,
    delayed: () => delayed,
    async stop() {
      clearInterval(timer);
      await flushing;
      await flush();
    },
  };
}

// --- internal ---

class Gathered implements CircuitUsage {
  readonly circuit: Circuit;
  readonly #now: () => number;
  readonly #total: { requests: number };
  readonly #busy: (use: Gathered) => void;
  readonly #withOpen: Set<Gathered>;
  #open = 0;
  #isBusy = false;
  #requests = 0;
  /** Epoch seconds. */
  #lastAccess = 0;

  constructor(
    circuit: Circuit,
    now: () => number,
    total: { requests: number },
    busy: (use: Gathered) => void,
    withOpen: Set<Gathered>,
  ) {
    this.circuit = circuit;
    this.#now = now;
    this.#total = total;
    this.#busy = busy;
    this.#withOpen = withOpen;
  }

  request(): void {
    this.#requests++;
    this.#total.requests++;
    this.moved();
  }

  readonly moved = (): void => {
    this.#lastAccess = this.#now() / 1000;
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#busy(this);
  };

  opened(): () => void {
    if (++this.#open === 1) this.#withOpen.add(this);
    return this.#closed;
  }

  readonly #closed = (): void => {
    if (--this.#open === 0) this.#withOpen.delete(this);
  };

  /** What was gathered, and begins anew. */
  take(): { circuit: Circuit } & CircuitUse {
    const taken = { circuit: this.circuit, requests: this.#requests, lastAccess: this.#lastAccess };
    this.#requests = 0;
    this.#isBusy = false;
    return taken;
  }
}
