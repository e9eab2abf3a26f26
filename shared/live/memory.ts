/** Live data inside one process, for all-in-one mode. Entries are dropped after the same two days as in Redis. */
import { LIVE_TTL, type CircuitUse, type LiveData } from "./live.ts";

/** `now` gives epoch milliseconds. */
export function createMemoryLive(now: () => number): LiveData {
  const circuits = new Map<string, CircuitUse>();
  const sessions = new Map<string, number>();
  const workers = new Map<string, number>();
  const used = new Map<string, number>();
  const claims = new Map<string, { by: string; until: number }>();
  const allowed = new Map<string, number>();

  function forgetOld(): void {
    const oldest = now() / 1000 - LIVE_TTL;
    for (const [id, use] of circuits) if (use.lastAccess < oldest) circuits.delete(id);
    for (const [id, at] of sessions) if (at < oldest) sessions.delete(id);
  }

  function claimed(id: string): string | null {
    for (const [old, { until }] of claims) {
      if (until > now()) break;
      claims.delete(old);
    }
    return claims.get(id)?.by ?? null;
  }

  return {
    async record(batch) {
      for (const [id, use] of batch.circuits) {
        circuits.set(id, { requests: (circuits.get(id)?.requests ?? 0) + use.requests, lastAccess: use.lastAccess });
      }
      for (const [id, at] of batch.sessions) sessions.set(id, at);
      forgetOld();
    },
    async workerSeen(authority, at) {
      workers.set(authority, at);
    },
    async circuitUse(id) {
      return circuits.get(id) ?? null;
    },
    async lastAccesses(ids) {
      return ids.map((id) => circuits.get(id)?.lastAccess ?? null);
    },
    async consume(id, seconds) {
      for (const [old, until] of used) if (until <= now()) used.delete(old);
      if (used.has(id)) return false;
      used.set(id, now() + seconds * 1000);
      return true;
    },
    async claim(id, by, seconds) {
      const before = claimed(id);
      if (before === null) claims.set(id, { by, until: now() + seconds * 1000 });
      return before;
    },
    async claimed(id) {
      return claimed(id);
    },
    async noteAllowed(key, seconds) {
      for (const [old, until] of allowed) if (until <= now()) allowed.delete(old);
      allowed.set(key, now() + seconds * 1000);
    },
    async isAllowed(key) {
      return (allowed.get(key) ?? 0) > now();
    },
    healthy: () => true,
    async close() {
      used.clear();
      claims.clear();
      allowed.clear();
    },
  };
}
