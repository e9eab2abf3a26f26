/** Live data in Redis database 2, under the keys that the platform reads. */
import type { Redis } from "ioredis";
import { LIVE_TTL, liveKeys, type LiveData } from "./live.ts";

export const LIVE_DB = 2;

/**
 * One command for many circuits (a count that somebody else has spoilt begins anew, and spoils no others): with a command each, a worker with 10,000 busy circuits spent as much on telling of a
 * request as on carrying it (52 → 100 µs a request).
 */
const RECORD_CIRCUITS = `
for i = 1, #KEYS, 2 do
  redis.call("SET", KEYS[i], ARGV[i + 1], "EX", ARGV[1])
  if tonumber(ARGV[i + 2]) > 0 then
    local counted = redis.pcall("INCRBY", KEYS[i + 1], ARGV[i + 2])
    if type(counted) == "table" and counted.err then redis.call("SET", KEYS[i + 1], ARGV[i + 2]) end
  end
  redis.call("EXPIRE", KEYS[i + 1], ARGV[1])
end`;
const RECORD_SESSIONS = `for i = 1, #KEYS do redis.call("SET", KEYS[i], ARGV[i + 1], "EX", ARGV[1]) end`;
/** `SET … NX GET` is one command only since Redis 7. */
const CLAIM = `
local before = redis.call("GET", KEYS[1])
if not before then redis.call("SET", KEYS[1], ARGV[1], "EX", ARGV[2]) end
return before`;
/** Redis does nothing else while a script runs: half a thousand entries take it under a millisecond. */
const SLICE = 500;

/** Takes over the connection and closes it. */
export function createRedisLive(redis: Redis): LiveData {
  return {
    async record(batch) {
      if (batch.circuits.size + batch.sessions.size === 0) return;
      // MULTI, so that a lost connection means all or nothing as far as it can be known.
      const pipeline = redis.multi();
      for (const some of slices([...batch.circuits])) {
        const keys = some.flatMap(([id]) => [liveKeys.circuitAccess(id), liveKeys.circuitRequests(id)]);
        const values = some.flatMap(([, use]) => [seconds(use.lastAccess), use.requests]);
        pipeline.eval(RECORD_CIRCUITS, keys.length, ...keys, LIVE_TTL, ...values);
      }
      for (const some of slices([...batch.sessions])) {
        const keys = some.map(([id]) => liveKeys.sessionAccess(id));
        pipeline.eval(RECORD_SESSIONS, keys.length, ...keys, LIVE_TTL, ...some.map(([, at]) => seconds(at)));
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    },
    async workerSeen(authority, at) {
      await redis.hset(liveKeys.workers, authority, seconds(at));
    },
    async circuitUse(id) {
      const [at, requests] = await redis.mget(liveKeys.circuitAccess(id), liveKeys.circuitRequests(id));
      const [lastAccess, count] = [access(at ?? null), Number(requests ?? 0)];
      if (lastAccess === null) return null;
      return { lastAccess, requests: Number.isSafeInteger(count) ? count : 0 };
    },
    async lastAccesses(ids) {
      if (ids.length === 0) return [];
      const told = await redis.mget(ids.map((id) => liveKeys.circuitAccess(id)));
      return told.map(access);
    },
    async consume(id, ttl) {
      return (await redis.set(liveKeys.used(id), "1", "EX", Math.max(1, Math.ceil(ttl)), "NX")) === "OK";
    },
    async claim(id, by, ttl) {
      const before: unknown = await redis.eval(CLAIM, 1, liveKeys.used(id), by, ttl);
      return typeof before === "string" ? before : null;
    },
    async claimed(id) {
      return redis.get(liveKeys.used(id));
    },
    async noteAllowed(key, ttl) {
      await redis.set(liveKeys.allowed(key), "1", "EX", ttl);
    },
    async isAllowed(key) {
      return (await redis.exists(liveKeys.allowed(key))) === 1;
    },
    healthy: () => redis.status === "ready",
    async close() {
      redis.disconnect();
    },
  };
}

// --- internal ---

function slices<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / SLICE) }, (_, at) => all.slice(at * SLICE, (at + 1) * SLICE));
}

/** Others may write there too: what is no number is not known. */
function access(told: string | null): number | null {
  const at = Number.parseFloat(told ?? "");
  return Number.isFinite(at) ? at : null;
}

/** The platform parses a decimal number of seconds. */
function seconds(epoch: number): string {
  return epoch.toFixed(3);
}
