/** The bus inside one process, for all-in-one mode. Events pass through the same codec as on Redis. */
import type { Log } from "../runtime/log.ts";
import { reason } from "../failure.ts";
import type { Bus, BusHandlers } from "./bus.ts";
import type { Codec } from "../protocol/envelope.ts";
import type { Announcement } from "../protocol/events.ts";

/** What the buses of one process share. */
export class MemoryHub {
  readonly listeners = new Set<(text: string) => void>();
  /** The newest announcements, like the stream's MAXLEN. */
  readonly announcements: Announcement[] = [];
}

const MAX_ANNOUNCEMENTS = 128;

export function createMemoryBus(hub: MemoryHub, codec: Codec, log: Log): Bus {
  const mine = new Set<(text: string) => void>();
  let closed = false;
  return {
    async publish(...events) {
      if (closed) throw new Error("event bus is closed");
      for (const text of events.map((event) => codec.encode(event))) {
        // Delivered in a later turn, as from a network: a publisher never runs its own handlers inside publish().
        for (const listener of hub.listeners) setImmediate(() => hub.listeners.has(listener) && listener(text));
      }
    },
    async announce(message) {
      hub.announcements.push(message);
      if (hub.announcements.length > MAX_ANNOUNCEMENTS) hub.announcements.shift();
    },
    async subscribe(handlers) {
      const listener = (text: string) => deliver(text, handlers, codec, log);
      hub.listeners.add(listener);
      mine.add(listener);
    },
    healthy: () => !closed,
    async close() {
      closed = true;
      for (const listener of mine) hub.listeners.delete(listener);
    },
  };
}

/** Reads one message and hands it on; a broken or forged one is logged and dropped. */
export function deliver(text: string, handlers: BusHandlers, codec: Codec, log: Log): void {
  try {
    const event = codec.decode(text);
    if (event !== null) handlers.event(event);
  } catch (error) {
    log.warn({ reason: reason(error) }, "event dropped");
  }
}
