/** Live data in Redis database 2, under the keys that the platform reads. */
import type { Redis } from "ioredis";
import { LIVE_TTL, liveKeys, type LiveData } from "./live.ts";

export const LIVE_DB = 2;

/** Takes over the connection and closes it. */
export function createRedisLive(redis: Redis): LiveData {
  return {
    async record(batch) {
      if (batch.circuits.size + batch.sessions.size === 0) return;
      // MULTI, so that a lost connection means all or nothing as far as it can be known.
      const pipeline = redis.multi();
      for (const [id, use] of batch.circuits) {
        pipeline.set(liveKeys.circuitAccess(id), seconds(use.lastAccess), "EX", LIVE_TTL);
        if (use.requests > 0) pipeline.incrby(liveKeys.circuitRequests(id), use.requests);
        pipeline.expire(liveKeys.circuitRequests(id), LIVE_TTL);
      }
      for (const [id, at] of batch.sessions) pipeline.set(liveKeys.sessionAccess(id), seconds(at), "EX", LIVE_TTL);
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    },
    async workerSeen(authority, at) {
      await redis.hset(liveKeys.workers, authority, seconds(at));
    },
    async circuitUse(id) {
      const [access, requests] = await redis.mget(liveKeys.circuitAccess(id), liveKeys.circuitRequests(id));
      if (access === null || access === undefined) return null;
      return { lastAccess: Number(access), requests: Number(requests ?? 0) };
    },
    async burn(id, ttl) {
      return (await redis.set(liveKeys.burned(id), "1", "EX", Math.max(1, Math.ceil(ttl)), "NX")) === "OK";
    },
    async noteKnock(key, ttl) {
      await redis.set(liveKeys.knock(key), "1", "EX", ttl);
    },
    async hasKnocked(key) {
      return (await redis.exists(liveKeys.knock(key))) === 1;
    },
    healthy: () => redis.status === "ready",
    async close() {
      redis.disconnect();
    },
  };
}

// --- internal ---

/** The platform parses a decimal number of seconds. */
function seconds(epoch: number): string {
  return epoch.toFixed(3);
}
