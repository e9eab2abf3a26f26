/**
 * The event bus between coordinator and workers. Delivery is at most once: a bus that may have lost
 * events says "state unknown" and its users fetch the truth from the coordinator.
 */
import type { Announcement, AppProxyEvent } from "../protocol/events.ts";

export interface Bus {
  /**
   * Broadcasts to every subscriber, in order and in one round trip. Rejects when the messenger is away, perhaps with some
   * of them sent; the caller tries all again.
   */
  publish(...events: AppProxyEvent[]): Promise<void>;
  /** Puts a message on the anycast stream. */
  announce(message: Announcement): Promise<void>;
  /** Starts listening; resolves when events will be heard. Handlers must not throw. */
  subscribe(handlers: BusHandlers): Promise<void>;
  /** True while events are heard and can be sent. */
  healthy(): boolean;
  close(): Promise<void>;
}

export interface BusHandlers {
  event(event: AppProxyEvent): void;
  /** Events may have been lost since the last one. */
  unknown(): void;
}
