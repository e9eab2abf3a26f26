/**
 * What a creation is held against: the cost of HTTP alone at the same coordinator and of one message through the same
 * Redis. Their ratio to a creation says more about the code than milliseconds that depend on the machine.
 */
import { Redis } from "ioredis";
import { measure, type Figure, type Load } from "./measure.ts";

const CHANNEL = "app-proxy-bench";

/** `GET /status`: routing, hooks and JSON of the coordinator without database, Redis and worker. */
export async function measureStatus(baseUrl: string, load: Load): Promise<Figure> {
  const { figure } = await measure("peer: GET /status", load, async () => {
    const answer = await fetch(`${baseUrl}/status`);
    const body = (await answer.json()) as Record<string, unknown>;
    if (answer.status !== 200 || body["advertise_address"] !== baseUrl)
      throw new Error(`GET /status answered ${answer.status}: ${JSON.stringify(body)}`);
  });
  return figure;
}

/** Publish to subscriber and back in one process: what ioredis and Redis cost at least. */
export async function measureRedis(url: string, load: Load): Promise<Figure> {
  const publisher = new Redis(url);
  const subscriber = new Redis(url);
  const waiting = new Map<string, () => void>();
  subscriber.on("message", (_channel: string, text: string) => waiting.get(text)?.());
  try {
    await subscriber.subscribe(CHANNEL);
    const { figure } = await measure("peer: Redis publish to subscriber", load, (turn) =>
      roundTrip(publisher, String(turn), waiting),
    );
    return figure;
  } finally {
    publisher.disconnect();
    subscriber.disconnect();
  }
}

// --- internal ---

async function roundTrip(publisher: Redis, text: string, waiting: Map<string, () => void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  waiting.set(text, resolve);
  await publisher.publish(CHANNEL, text);
  await promise;
  waiting.delete(text);
}
