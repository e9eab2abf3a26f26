/** The bus on Redis: PUB/SUB for broadcasts, a stream for announcements (channel and stream names of the original). */
import type { Redis } from "ioredis";
import { reason } from "../failure.ts";
import type { Log } from "../log.ts";
import type { Bus } from "./bus.ts";
import type { Codec } from "./envelope.ts";
import { deliver } from "./memory.ts";

export const CHANNEL = "events_all-appproxy";
export const STREAM = "events-appproxy";
/** Redis database of the stream; PUB/SUB ignores it. */
export const EVENTS_DB = 4;

/** `connect` gives a new connection to database 4; the bus owns the two that it opens. */
export function createRedisBus(connect: (role: string) => Redis, codec: Codec, log: Log): Bus {
  const publisher = connect("publisher");
  let subscriber: Redis | null = null;
  let closed = false;
  let hears = false;
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
      if (subscriber !== null) throw new Error("bus is already subscribed");
      const connection = connect("subscriber");
      subscriber = connection;
      // What the socket had read before a close may still be handed on after it.
      connection.on("message", (_channel, text: string) => closed || deliver(text, handlers, codec, log));
      return new Promise((resolve) => {
        let before = false;
        // Subscribed by hand at every connect: only after the server's answer is it true that events are heard again.
        connection.on("close", () => (hears = false));
        connection.on("ready", () => {
          connection.subscribe(CHANNEL).then(
            () => {
              hears = true;
              if (before) handlers.unknown();
              before = true;
              resolve();
            },
            (error: unknown) => {
              log.warn({ reason: reason(error) }, "cannot subscribe to events; connecting again");
              connection.disconnect(true);
            },
          );
        });
      });
    },
    healthy: () => publisher.status === "ready" && (subscriber === null || hears),
    async close() {
      closed = true;
      publisher.disconnect();
      subscriber?.disconnect();
    },
  };
}
