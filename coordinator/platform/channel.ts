/** The platform's broadcast channel on its core Redis, as text. Only listened to; what messages mean is in message.ts. */
import { createSubscription } from "../../shared/bus/subscription.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { connectRedis, type RedisSettings } from "../../shared/redis/redis.ts";
import type { CoordinatorConfig } from "../config.ts";
import type { PlatformChannel } from "../deps.ts";

export const PLATFORM_CHANNEL = "events_all";

/** Listens on the Redis of `[core_redis]`, where that is given, else on that of `[redis]`. */
export function createPlatformChannel(config: CoordinatorConfig, log: Log): PlatformChannel {
  // PUB/SUB knows no databases.
  const connection = connectRedis(platformRedis(config), 0, "platform events", log);
  let subscription: ReturnType<typeof createSubscription> | null = null;
  return {
    listen(hear) {
      subscription ??= createSubscription(connection, PLATFORM_CHANNEL, { message: hear, heard: () => undefined }, log);
    },
    healthy: () => subscription?.hears() === true,
    close: () => (subscription === null ? connection.disconnect() : subscription.close()),
  };
}

/** Where the platform's events are. */
export function platformRedis({ core_redis: core, redis }: CoordinatorConfig): RedisSettings {
  const { addr, sentinel } = core;
  return addr === null && sentinel === null ? redis : { ...core, addr: addr ?? redis.addr, section: "core_redis" };
}
