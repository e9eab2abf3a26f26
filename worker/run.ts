/**
 * The life of a worker's process from its configuration file to SIGTERM. Called by main.ts; the fault harness of the tests
 * starts the same process with parts that fail when they are told to.
 */
import { COORDINATOR_EVENTS, createCodec } from "../shared/protocol/envelope.ts";
import { secretFaults } from "../shared/config/common.ts";
import { checkedText, helpText, readConfigFile } from "../shared/config/file.ts";
import { ConfigError } from "../shared/config/load.ts";
import { hostPort } from "../shared/values.ts";
import { raiseHttpLimits } from "../shared/runtime/limits.ts";
import { createLog, type Log } from "../shared/runtime/log.ts";
import { announce, announcedAddress, DISCOVERY_DB } from "../shared/compat/discovery.ts";
import { redisMessengers } from "../shared/redis/messengers.ts";
import { connectRedis } from "../shared/redis/redis.ts";
import { ignoreProxySettings, shutdownOnSignal, surviveStrayErrors } from "../shared/runtime/process.ts";
import { followSupervisor, predecessorOf, tellSupervisor } from "../shared/runtime/supervised.ts";
import {
  loadWorkerConfig,
  namedSecrets,
  processCount,
  processFaults,
  tlsFileFaults,
  unservedFaults,
  WORKER_ENV,
  WORKER_FILE,
  workerWarnings,
} from "./config.ts";
import type { WorkerConfig } from "./config/table.ts";
import { ENGINES } from "./compose/engines.ts";
import { INODES_FD, LaneInodes } from "./lanes/inodes.ts";
import { createLane, lanePlace, ownLine, type Lane } from "./lanes/lane.ts";
import { ephemeralWarning } from "./listeners/linux-ephemeral.ts";
import { findLanes } from "./listeners/lanes.ts";
import { findSibling, type Sibling } from "./listeners/sibling.ts";
import { eventKeys } from "./compose/secrets.ts";
import { startWorker, type WorkerDeps } from "./worker.ts";

/** Reads the arguments and starts; `fitted` may put other parts in the place of the real ones. Rejects when it can't start. */
export async function runWorker(fitted: (real: WorkerDeps) => WorkerDeps = (real) => real): Promise<void> {
  // First: what is read from a pipe can't be read again.
  const isRaised = raiseHttpLimits();
  const file = readConfigFile(WORKER_FILE, process.argv.slice(2));
  if (file === null) return void process.stdout.write(helpText("worker", WORKER_FILE, WORKER_ENV));
  const { values: config, ignored } = loadWorkerConfig(file.source, file.toml, process.env);
  const faults = [...unservedFaults(config), ...tlsFileFaults(config)];
  if (faults.length > 0) throw new ConfigError(file.source, faults);
  const ephemeral = ephemeralWarning(config.proxy_worker);
  const warnings = [...workerWarnings(config), ...(ephemeral === null ? [] : [ephemeral])];
  if (file.check) return void process.stdout.write(checkedText(file.source, ignored, warnings));

  const lane = ownLane(file.source, config);
  const log = createLog("worker", config.logging.level);
  surviveStrayErrors(log);
  if (!isRaised) log.warn("BUN_CONFIG_MAX_HTTP_REQUESTS is not set: this worker carries at most 256 requests at once");
  const shutdown = shutdownOnSignal(log);
  followSupervisor(log);
  ignoreProxySettings();
  log.info(
    {
      config: file.source,
      redis: config.redis.sentinel ?? hostPort(config.redis.addr),
      ...(ignored.length > 0 ? { ignored_keys: ignored } : {}),
    },
    "configuration read",
  );
  for (const warning of workerWarnings(config)) log.warn(warning);
  for (const fault of secretFaults(namedSecrets(config)))
    log.warn(fault, "WEAK SECRET accepted because debug.enabled is true");

  const sharing = await sharePorts(config, lane, log);
  const messengers = redisMessengers(
    config.redis,
    createCodec(eventKeys(config), config.events.accept_unsigned, COORDINATOR_EVENTS),
    log,
  );
  shutdown.add(() => messengers.close());
  const worker = startWorker(
    fitted({
      config,
      engine: ENGINES[config.proxy_worker.engine],
      sharing,
      lane,
      bus: messengers.bus,
      live: messengers.live,
      log,
      now: Date.now,
      newId: () => crypto.randomUUID(),
    }),
  );
  shutdown.add(() => worker.stop());
  const {
    announce_addr: wanted,
    api_bind_addr: bound,
    api_advertised_addr: advertised,
    authority,
  } = config.proxy_worker;
  const address = announcedAddress(wanted, { host: bound.host, port: worker.apiPort }, advertised);
  const monitoring = connectRedis(config.redis, DISCOVERY_DB, "service discovery", log);
  const discovery = announce(monitoring, { group: "appproxy-worker", name: authority, address }, log);
  shutdown.add(() => discovery.stop());
  await worker.ready;
  tellSupervisor(config.proxy_worker.shutdown_timeout * 1000);
}

// --- internal ---

/** Null when this is the worker's only process. Throws when it should not be. */
function ownLane(source: string, config: WorkerConfig): Lane | null {
  const place = lanePlace(process.env);
  if (place !== null) return createLane(place, ownLine());
  const faults = processFaults(config);
  if (faults.length > 0) throw new ConfigError(source, faults);
  return null;
}

/** With whom the ports are shared; null when with nobody. */
async function sharePorts({ proxy_worker: own }: WorkerConfig, lane: Lane | null, log: Log): Promise<Sibling | null> {
  const predecessor = predecessorOf(process.env);
  if (lane !== null && lane.count !== processCount(own.processes))
    log.warn({ processes: lane.count }, "proxy_worker.processes has changed: that needs a restart of the supervisor");
  const sharing =
    lane === null
      ? await findSibling(own, predecessor)
      : await findLanes(own, { inodes: new LaneInodes(INODES_FD), onEnd: (act) => lane.onEnd(act), predecessor });
  if (own.share_ports && sharing === null)
    log.warn("proxy_worker.share_ports has no effect: connections can't be steered on this system");
  if (sharing !== null && sharing.predecessor !== null)
    log.info({ predecessor: sharing.predecessor }, "sharing ports with the old worker process");
  return sharing;
}
