/**
 * The life of a coordinator's process from its configuration file to SIGTERM. Called by main.ts; the fault harness of the
 * tests starts the same process with parts that fail when they are told to.
 */
import { hostname } from "node:os";
import { resolve } from "node:path";
import { createCodec, HEARD_BY_COORDINATORS } from "../shared/protocol/envelope.ts";
import { checkedText, helpText, readConfigFile } from "../shared/config/file.ts";
import { secretFaults } from "../shared/config/common.ts";
import { type Address, hostPort } from "../shared/values.ts";
import { createLog } from "../shared/runtime/log.ts";
import { announce, announcedAddress, DISCOVERY_DB } from "../shared/compat/discovery.ts";
import { redisMessengers } from "../shared/redis/messengers.ts";
import { connectRedis, type RedisSettings } from "../shared/redis/redis.ts";
import { shutdownOnSignal, surviveStrayErrors } from "../shared/runtime/process.ts";
import {
  COORDINATOR_ENV,
  COORDINATOR_FILE,
  coordinatorWarnings,
  loadCoordinatorConfig,
  namedSecrets,
} from "./config.ts";
import { startCoordinator } from "./coordinator.ts";
import { openDb } from "./store/open.ts";
import type { Deps } from "./deps.ts";
import { eventKeys } from "./secrets.ts";
import { createPlatformChannel, platformRedis } from "./platform/channel.ts";

/** Reads the arguments and starts; `fitted` may put other parts in the place of the real ones. Rejects when it can't start. */
export async function runCoordinator(fitted: (real: Deps) => Deps = (real) => real): Promise<void> {
  const file = readConfigFile(COORDINATOR_FILE, process.argv.slice(2));
  if (file === null) return void process.stdout.write(helpText("coordinator", COORDINATOR_FILE, COORDINATOR_ENV));
  const { values: config, ignored } = loadCoordinatorConfig(file.source, file.toml, process.env);
  if (file.check) return void process.stdout.write(checkedText(file.source, ignored, coordinatorWarnings(config)));

  const log = createLog("coordinator", config.logging.level);
  surviveStrayErrors(log);
  const shutdown = shutdownOnSignal(log);
  log.info(
    {
      config: file.source,
      redis: addressOf(config.redis),
      platform_events: addressOf(platformRedis(config)),
      database: resolve(config.db.path),
      ...(ignored.length > 0 ? { ignored_keys: ignored } : {}),
    },
    "configuration read",
  );
  for (const fault of secretFaults(namedSecrets(config)))
    log.warn(fault, "WEAK SECRET accepted because debug.enabled is true");
  for (const warning of coordinatorWarnings(config)) log.warn(warning);
  if (config.proxy_coordinator.allow_unauthorized_configure_request)
    log.warn("POST /v2/conf is taken from anywhere without a token");
  if (config.db.type !== "sqlite") log.warn({ path: config.db.path }, "db.type is not supported: SQLite is used");

  const database = openDb(config.db.path, () => crypto.randomUUID());
  shutdown.add(() => database.close());
  const messengers = redisMessengers(
    config.redis,
    createCodec(eventKeys(config), config.events.accept_unsigned, HEARD_BY_COORDINATORS),
    log,
  );
  shutdown.add(() => messengers.close());
  const platform = createPlatformChannel(config, log);
  shutdown.add(() => platform.close());
  const coordinator = await startCoordinator(
    fitted({
      config,
      database,
      bus: messengers.bus,
      live: messengers.live,
      platform,
      log,
      now: Date.now,
      newId: () => crypto.randomUUID(),
    }),
  );
  shutdown.add(() => coordinator.stop());
  const { announce_addr: wanted, advertised_addr: advertised } = config.proxy_coordinator;
  const address = announcedAddress(wanted, coordinator.address, advertised);
  const monitoring = connectRedis(platformRedis(config), DISCOVERY_DB, "service discovery", log);
  const discovery = announce(monitoring, { group: "appproxy-coordinator", name: `i-${hostname()}`, address }, log);
  shutdown.add(() => discovery.stop());
}

// --- internal ---

function addressOf({ sentinel, addr }: RedisSettings): Address[] | string {
  return sentinel ?? hostPort(addr);
}
