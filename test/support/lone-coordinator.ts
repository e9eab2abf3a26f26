/** A coordinator inside the test's process with a Redis of its own and no worker. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { loadCoordinatorConfig } from "../../coordinator/config.ts";
import { startCoordinator } from "../../coordinator/coordinator.ts";
import { eventKeys } from "../../coordinator/secrets.ts";
import { openDb } from "../../coordinator/store/open.ts";
import { createCodec } from "../../shared/protocol/envelope.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { redisMessengers } from "../../shared/redis/messengers.ts";
import { Manager } from "./manager.ts";
import { startRedis, type RedisServer } from "./redis.ts";
import { coordinatorToml, type ClusterSettings } from "./toml.ts";
import { until } from "./until.ts";

export interface LoneCoordinator {
  manager: Manager;
  redis: RedisServer;
  /** The file. */
  database: string;
  /** Sends any text to the events' channel. */
  publish(text: string): Promise<void>;
  stop(): Promise<void>;
}

/** `patience`: how long it waits for a lock on the database, milliseconds. */
export async function startLoneCoordinator(
  settings: ClusterSettings & { patience?: number },
): Promise<LoneCoordinator> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-lone-"));
  const redis = await startRedis();
  const toml = coordinatorToml(join(directory, "db.sqlite3"), { ...settings, redisPort: redis.port });
  const config = loadCoordinatorConfig("test", toml, {}).values;
  const newId = () => crypto.randomUUID();
  const database = openDb(config.db.path, newId, settings.patience);
  const codec = createCodec(eventKeys(config), config.events.accept_unsigned);
  const messengers = redisMessengers(config.redis, codec, silentLog());
  const { bus, live } = messengers;
  const coordinator = await startCoordinator({ config, database, bus, live, log: silentLog(), now: Date.now, newId });
  await until(() => bus.healthy() && live.healthy());
  return {
    manager: new Manager(coordinator.baseUrl),
    redis,
    database: config.db.path,
    async publish(text) {
      const client = new Redis(redis.port, "127.0.0.1");
      await client.publish("events_all-appproxy", text);
      client.disconnect();
    },
    async stop() {
      await coordinator.stop();
      await messengers.close();
      database.close();
      await redis.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
