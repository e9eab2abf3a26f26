/** A lasting subscription to a channel of Redis: made again at every connect. Used for our events and for the platform's. */
import type { Redis } from "ioredis";
import { reason } from "../failure.ts";
import type { Log } from "../runtime/log.ts";

export interface Subscription {
  /** True while messages are heard. */
  hears(): boolean;
  /** Closes the connection. Nothing is handed on after it. */
  close(): void;
}

interface Handlers {
  message: (text: string) => void;
  /** Messages are heard from now on; also after an outage, in which some may have been missed. */
  heard: () => void;
}

/** Subscribes a connection of its own, which must be new. */
export function createSubscription(connection: Redis, channel: string, handlers: Handlers, log: Log): Subscription {
  let closed = false;
  let hears = false;
  // What the socket had read before a close may still be handed on after it.
  connection.on("message", (_channel, text: string) => closed || handlers.message(text));
  // Subscribed by hand at every connect: only after the server's answer is it true that messages are heard again.
  connection.on("close", () => (hears = false));
  connection.on("ready", () => {
    connection.subscribe(channel).then(
      () => {
        hears = true;
        handlers.heard();
      },
      (error: unknown) => {
        log.warn({ channel, reason: reason(error) }, "cannot subscribe to events; connecting again");
        connection.disconnect(true);
      },
    );
  });
  return {
    hears: () => hears,
    close() {
      closed = true;
      connection.disconnect();
    },
  };
}
