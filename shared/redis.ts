/** Connections to Redis by address or by Sentinel. Every connection reconnects for ever and never queues without bound. */
import { Redis, type RedisOptions } from "ioredis";
import type { Address } from "./config/fields.ts";
import type { Log } from "./log.ts";

export interface RedisSettings {
  addr: Address;
  sentinel: Address[] | null;
  service_name: string;
  password: string;
}

/** Opens a connection; `role` names it in the log. Commands fail at once while it is down. */
export function connectRedis(settings: RedisSettings, db: number, role: string, log: Log): Redis {
  const redis = new Redis(redisOptions(settings, db));
  let down = false;
  redis.on("error", (error: Error) => {
    // One line per outage: ioredis reports every attempt.
    if (!down) log.warn({ role, reason: error.message || error.name }, "Redis is away");
    down = true;
  });
  redis.on("ready", () => {
    if (down) log.info({ role }, "Redis is back");
    down = false;
  });
  watch(redis);
  return redis;
}

// --- internal ---

/** A command without an answer for this long has failed. Milliseconds. */
const COMMAND_TIMEOUT_MS = 3000;
const PING_MS = 5000;

/** A connection that is silently gone (a firewall that forgot it, a stopped server) is found by asking. */
function watch(redis: Redis): void {
  const timer = setInterval(() => {
    if (redis.status === "ready") redis.ping().catch(() => redis.status === "ready" && redis.disconnect(true));
  }, PING_MS);
  redis.on("end", () => clearInterval(timer));
  // Closed while it is away, ioredis says no "end": the watch must not keep the process.
  timer.unref();
}

function redisOptions(settings: RedisSettings, db: number): Omit<RedisOptions, "replyMapping"> {
  const options: RedisOptions = {
    db,
    enableOfflineQueue: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 5000,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), 2000),
  };
  if (settings.password !== "") options.password = options.sentinelPassword = settings.password;
  if (settings.sentinel === null) return Object.assign(options, settings.addr);
  return Object.assign(options, { sentinels: settings.sentinel, name: settings.service_name });
}
