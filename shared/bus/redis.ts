/** The bus on Redis: PUB/SUB for broadcasts, a stream for announcements (channel and stream names of the original). */
import type { Redis } from "ioredis";
import type { Log } from "../runtime/log.ts";
import type { Bus } from "./bus.ts";
import type { Codec } from "../protocol/envelope.ts";
import { deliver } from "./memory.ts";
import { createSubscription, type Subscription } from "./subscription.ts";

export const CHANNEL = "events_all-appproxy";
export const STREAM = "events-appproxy";
/** Redis database of the stream; PUB/SUB ignores it. */
export const EVENTS_DB = 4;

/** `connect` gives a new connection to database 4; the bus owns the two that it opens. */
export function createRedisBus(connect: (role: string) => Redis, codec: Codec, log: Log): Bus {
  const publisher = connect("publisher");
  let subscription: Subscription | null = null;
  return {
    async publish(...events) {
      const pipeline = publisher.pipeline();
      for (const event of events) pipeline.publish(CHANNEL, codec.encode(event));
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    },
    async announce(message) {
      await publisher.xadd(
        STREAM, "MAXLEN", "~", 128, "*",
        "name", message.name,
        "source", "appproxy-coordinator",
        "payload", JSON.stringify(message.payload),
        "metadata", JSON.stringify({ request_id: null, user: null, triggered_user: null }),
      ); // prettier-ignore
    },
    subscribe(handlers) {
      if (subscription !== null) throw new Error("bus is already subscribed");
      return new Promise((resolve) => {
        let before = false;
        const heard = () => {
          if (before) handlers.unknown();
          before = true;
          resolve();
        };
        const message = (text: string) => deliver(text, handlers, codec, log);
        subscription = createSubscription(connect("subscriber"), CHANNEL, { message, heard }, log);
      });
    },
    healthy: () => publisher.status === "ready" && (subscription === null || subscription.hears()),
    async close() {
      publisher.disconnect();
      subscription?.close();
    },
  };
}
