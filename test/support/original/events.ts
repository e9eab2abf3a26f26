/**
 * The original's events on real Redis, without a signature and without a place in any order. Whatever a peer adds to an
 * event is ignored here, as the original ignores it.
 */
import { Redis } from "ioredis";
import { asObject, dumps, type Json } from "./wire.ts";

export type Source = "appproxy-coordinator" | "appproxy-worker";

export interface OldBus {
  /** Gives how many connections heard it. */
  publish(name: string, payload: Json): Promise<number>;
  /** Publishes while nobody listens: every subscriber's connection is cut in the same transaction. */
  publishUnheard(name: string, payload: Json): Promise<number>;
  close(): void;
}

const CHANNEL = "events_all-appproxy";
const EVENTS_DB = 4;

/** Resolves when events are heard. `hear` gets the events that are not one's own. */
export async function openOldBus(
  redisPort: number,
  source: Source,
  hear: (name: string, payload: Json) => void,
): Promise<OldBus> {
  const connect = () => new Redis(redisPort, "127.0.0.1", { db: EVENTS_DB });
  const [publisher, subscriber] = [connect(), connect()];
  subscriber.on("message", (_channel, text: string) => {
    const event = asObject(JSON.parse(text), "event");
    if (event["source"] === source || typeof event["payload"] !== "string") return;
    hear(String(event["name"]), asObject(JSON.parse(event["payload"]), "payload"));
  });
  // ioredis subscribes again by itself whenever it connects.
  await subscriber.subscribe(CHANNEL);

  const written = (name: string, payload: Json) =>
    dumps({
      name,
      source,
      payload: dumps(payload),
      metadata: dumps({ request_id: null, user: null, triggered_user: null }),
    });

  return {
    publish: (name, payload) => publisher.publish(CHANNEL, written(name, payload)),
    async publishUnheard(name, payload) {
      const results = await publisher
        .multi()
        .call("CLIENT", "KILL", "TYPE", "PUBSUB")
        .publish(CHANNEL, written(name, payload))
        .exec();
      const [error, heard] = results?.[1] ?? [new Error("the transaction was not carried out"), null];
      if (error !== null) throw error;
      return Number(heard);
    },
    close() {
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
}
