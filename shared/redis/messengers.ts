/** The bus and the live data that a service is given: on Redis, or inside one process. */
import type { Bus } from "../bus/bus.ts";
import type { Codec } from "../protocol/envelope.ts";
import { createMemoryBus, MemoryHub } from "../bus/memory.ts";
import { createRedisBus, EVENTS_DB } from "../bus/redis.ts";
import type { LiveData } from "../live/live.ts";
import { createMemoryLive } from "../live/memory.ts";
import { createRedisLive, LIVE_DB } from "../live/redis.ts";
import type { Log } from "../runtime/log.ts";
import { connectRedis, type RedisSettings } from "./redis.ts";

export interface Messengers {
  bus: Bus;
  live: LiveData;
  close: () => Promise<void>;
}

/** Connects to Redis; connections are made and kept in the background. */
export function redisMessengers(settings: RedisSettings, codec: Codec, log: Log): Messengers {
  const bus = createRedisBus((role) => connectRedis(settings, EVENTS_DB, role, log), codec, log);
  return together(bus, createRedisLive(connectRedis(settings, LIVE_DB, "live data", log)));
}

/** For several services in one process: gives each its messengers over one hub. */
export function memoryMessengers(log: Log): (codec: Codec) => Messengers {
  const hub = new MemoryHub();
  const live = createMemoryLive(Date.now);
  return (codec) => together(createMemoryBus(hub, codec, log), live);
}

// --- internal ---

function together(bus: Bus, live: LiveData): Messengers {
  return {
    bus,
    live,
    close: async () => {
      await bus.close();
      await live.close();
    },
  };
}
