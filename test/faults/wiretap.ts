/** Hears everything on the events' channel, keeps it for a while, and says it again or says what is forged. */
import { Redis } from "ioredis";
import { PLATFORM_CHANNEL } from "../../coordinator/platform/channel.ts";
import { CHANNEL } from "../../shared/bus/redis.ts";

export interface Wiretap {
  /** The newest events as they were on the wire. */
  heard(): readonly string[];
  say(text: string): Promise<void>;
  /** Says something on the platform's channel. Rejects while Redis is away. */
  announce(text: string): Promise<void>;
  stop(): void;
}

const KEPT = 300;

export function createWiretap(port: number): Wiretap {
  const options = { retryStrategy: () => 100, maxRetriesPerRequest: 1 };
  const listener = new Redis(port, "127.0.0.1", options);
  const speaker = new Redis(port, "127.0.0.1", options);
  // Redis goes and comes in these tests.
  for (const one of [listener, speaker]) one.on("error", () => undefined);
  const kept: string[] = [];
  listener.on("message", (_channel, text: string) => {
    kept.push(text);
    if (kept.length > KEPT) kept.shift();
  });
  listener.subscribe(CHANNEL).catch(() => undefined);
  return {
    heard: () => kept,
    say: async (text) => void (await speaker.publish(CHANNEL, text)),
    announce: async (text) => void (await speaker.publish(PLATFORM_CHANNEL, text)),
    stop() {
      listener.disconnect();
      speaker.disconnect();
    },
  };
}
