/** Redis is stopped, comes back empty, stands still, is flushed, or cuts its clients. */
import { Redis } from "ioredis";
import type { Fault, FaultContext } from "../fault.ts";

const AWAY_MS = [0, 1500] as const;
const PAUSE_MS = [300, 2500] as const;

export const redisFaults: Fault[] = [
  { name: "kill-redis", weight: 3, run: kill },
  { name: "pause-redis", weight: 2, run: pause },
  { name: "flush-redis", weight: 1, run: (context) => order(context, ["FLUSHALL"]) },
  { name: "cut-subscribers", weight: 2, run: (context) => cut(context, "pubsub") },
  { name: "cut-clients", weight: 2, run: (context) => cut(context, "normal") },
];

// --- internal ---

async function kill({ cluster, random, timeline }: FaultContext): Promise<void> {
  await Bun.sleep(random.between(0, 300));
  const ms = random.between(...AWAY_MS);
  timeline.note("fault", `Redis is killed, and comes back empty after ${ms} ms`);
  await cluster.redis.stop();
  await Bun.sleep(ms);
  await cluster.redis.start();
  timeline.note("fault", "Redis is back, empty");
}

async function pause({ cluster, random, timeline }: FaultContext): Promise<void> {
  await Bun.sleep(random.between(0, 200));
  const ms = random.between(...PAUSE_MS);
  timeline.note("fault", `SIGSTOP of Redis for ${ms} ms`);
  cluster.redis.signal("SIGSTOP");
  await Bun.sleep(ms);
  cluster.redis.signal("SIGCONT");
  timeline.note("fault", "SIGCONT of Redis");
}

/** Cuts them again and again, at moments of its own. */
async function cut(context: FaultContext, type: "pubsub" | "normal"): Promise<void> {
  const { random } = context;
  for (let left = random.between(1, 4); left > 0; left--) await order(context, ["CLIENT", "KILL", "TYPE", type]);
}

async function order({ cluster, random, timeline }: FaultContext, command: [string, ...string[]]): Promise<void> {
  await Bun.sleep(random.between(0, 250));
  const [name, ...words] = command;
  const redis = new Redis(cluster.redis.port, "127.0.0.1");
  // It may be cut by its own order.
  redis.on("error", () => undefined);
  try {
    timeline.note("fault", command.join(" "));
    await redis.call(name, ...words);
  } finally {
    redis.disconnect();
  }
}
