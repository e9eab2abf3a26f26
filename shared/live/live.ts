/**
 * Live data that the platform reads: when a circuit and its session were last used, and how often.
 * The platform's idle checker ends sessions by these keys, so a false silence kills a user's work.
 */

export interface CircuitUse {
  /** Requests since the last flush. */
  requests: number;
  /** Epoch seconds of the last byte. */
  lastAccess: number;
}

export interface UsageBatch {
  circuits: ReadonlyMap<string, CircuitUse>;
  /** Session id → epoch seconds of the last byte. */
  sessions: ReadonlyMap<string, number>;
}

export interface LiveData {
  /** Writes a batch in one round trip. Rejects when the store is away and has then written nothing that matters twice. */
  record(batch: UsageBatch): Promise<void>;
  /** Notes that a worker was heard of. Epoch seconds. */
  workerSeen(authority: string, at: number): Promise<void>;
  /** What is known about a circuit's use; null means unknown, not idle. */
  circuitUse(circuitId: string): Promise<CircuitUse | null>;
  /** When bytes last moved over each of these circuits, epoch seconds; null where that is not known. In one round trip. */
  lastAccesses(circuitIds: readonly string[]): Promise<(number | null)[]>;
  /** True for the first caller with this id within `seconds`: single-use tickets. */
  consume(id: string, seconds: number): Promise<boolean>;
  /** Remembers for `seconds` what the first caller says of itself; gives what an earlier one said, null to the first. */
  claim(id: string, by: string, seconds: number): Promise<string | null>;
  /** What the first caller of `claim` said of itself; null when none is remembered. */
  claimed(id: string): Promise<string | null>;
  /** Remembers that an address was let in to a circuit for `seconds`. */
  noteAllowed(key: string, seconds: number): Promise<void>;
  isAllowed(key: string): Promise<boolean>;
  healthy(): boolean;
  close(): Promise<void>;
}

/** How long the keys live without being touched. Seconds. */
export const LIVE_TTL = 2 * 24 * 3600;

export const liveKeys = {
  circuitAccess: (id: string) => `circuit.${id}.last_access`,
  circuitRequests: (id: string) => `circuit.${id}.requests`,
  sessionAccess: (id: string) => `session.${id}.last_access`,
  workers: "proxy-worker.last_seen",
  used: (id: string) => `appproxy.used.${id}`,
  allowed: (key: string) => `appproxy.knock.${key}`,
};
