/** Puts a worker together and runs it. Called by run.ts, the all-in-one and tests. */
import { hostPort } from "../shared/values.ts";
import { ConfigError } from "../shared/config/load.ts";
import { createShutdown } from "../shared/runtime/process.ts";
import { readTls, watchTls, type TlsPair, type TlsPaths } from "../shared/runtime/tls.ts";
import { createServiceWorkerNotes } from "./circuits/service-workers.ts";
import { createAccess } from "./compose/access.ts";
import { createCircuits } from "./compose/circuits.ts";
import { createControl } from "./compose/control.ts";
import { createDataPlane } from "./compose/data-plane.ts";
import { openOwnApi } from "./compose/own-api.ts";
import { createOwnTargets } from "./compose/targets.ts";
import { createRoom } from "./compose/room.ts";
import { createParts, type Parts, type WorkerDeps } from "./compose/parts.ts";
import { processFaults, unservedFaults } from "./config.ts";
import type { WorkerConfig } from "./config/table.ts";
import { idleTime } from "./drain.ts";
import { ephemeralWarning } from "./listeners/linux-ephemeral.ts";
import { takeOver } from "./listeners/takeover.ts";
import { callSecrets } from "./compose/secrets.ts";
import { createCoordinatorClient, type CoordinatorClient } from "./state/coordinator-client.ts";
import type { SyncState } from "./state/sync.ts";

export type { WorkerDeps } from "./compose/parts.ts";

export interface Worker {
  /** Port of the worker's own API. */
  apiPort: number;
  /** Resolves when it has registered and serves its circuits, all that the process does that it takes over from. */
  ready: Promise<void>;
  state: () => SyncState;
  /** Deregisters, lets requests end up to `shutdown_timeout`, writes usage. The handed-in parts stay open. */
  stop(): Promise<void>;
}

/** Starts a worker. Throws when its API address can't be opened or the configuration can't be served. */
export function startWorker(deps: WorkerDeps): Worker {
  const { proxy_worker: own } = deps.config;
  const parts = createParts(deps);
  const { sharing, lane, log } = parts;
  const unserved = [...unservedFaults(deps.config), ...(lane === null ? processFaults(deps.config) : [])];
  if (unserved.length > 0) throw new ConfigError("worker", unserved);
  const files = tlsPaths(deps.config);
  const tls = files === null ? null : readTls(files);
  /** What was started last is stopped first. */
  const shutdown = createShutdown();
  shutdown.add(() => log.info("worker is down"));

  const room = createRoom(parts);
  shutdown.add(() => room.crowding.stop());
  const targets = createOwnTargets(deps.config, {
    frontends: () => dataPlane.frontends,
    apiPort: () => api.port,
  });
  const circuits = createCircuits(parts, targets);
  shutdown.add(() => circuits.stop());
  const { table } = circuits;
  const coordinator = connectCoordinator(parts);
  const serviceWorkers = createServiceWorkerNotes({
    async tell(slots) {
      const id = control.state().workerId;
      return id !== null && (await coordinator.noteServiceWorkers(id, { slots }));
    },
    log,
  });
  const access = createAccess(parts, {
    table,
    isComplete: () => control.state().known && control.state().coordinator,
    wildcardPort: () => dataPlane.wildcardPort,
    apiPort: () => api.port,
  });
  const ephemeral = ephemeralWarning(own);
  if (ephemeral !== null) log.warn(ephemeral);
  const dataPlane = createDataPlane(parts, {
    circuits,
    access,
    serviceWorkers,
    room,
    tls,
    isReady: () => control.state().ready,
    refresh: () => control.refresh(),
    portsChanged: () => control.portsChanged(),
  });
  // The API opens first: a registration tells its port. Its /health/readyz says 503 until circuits are known.
  const sync = () => control.state();
  const api = openOwnApi(parts, { circuits, access, dataPlane, room, tls, sync, refresh: () => control.refresh() });
  shutdown.add(() => api.stop());
  const control = createControl(parts, {
    coordinator,
    circuits,
    dataPlane,
    homes: access.homes,
    targets,
    apiPort: api.port,
  });
  shutdown.add(() => control.stop());
  shutdown.add(() => serviceWorkers.stop());
  // Together: while requests end, the coordinator gives this node no new circuit, and a successor gets the ports.
  const idleMs = idleTime(own.shutdown_timeout * 1000);
  shutdown.add(() => Promise.all([control.leave(), dataPlane.stop(), api.handOver(idleMs)]));
  if (files !== null && tls !== null) {
    const renew = (pair: TlsPair) => {
      // Two listeners of each process on a port could not be told apart by the others: a new process begins with it.
      if (lane !== null) return lane.replace();
      // What fails with one of them is told; the other has its new certificate all the same.
      try {
        dataPlane.frontends.renew(pair);
      } finally {
        api.renew(pair);
      }
    };
    shutdown.add(watchTls(files, tls, log, renew));
  }
  control.start();
  log.info({ api: hostPort({ host: own.api_bind_addr.host, port: api.port }) }, "worker is up");

  const { frontends } = dataPlane;
  async function serve(): Promise<void> {
    await control.ready;
    dataPlane.join();
    api.join();
    await takeOver({ sibling: sharing, frontends, retry: () => control.retryPorts(), log });
  }
  return {
    apiPort: api.port,
    ready: serve(),
    state: sync,
    stop: () => shutdown.run(),
  };
}

// --- internal ---

function connectCoordinator({ config, clock, log }: Parts): CoordinatorClient {
  const { proxy_worker: own } = config;
  return createCoordinatorClient(
    {
      baseUrl: own.coordinator_endpoint,
      secret: callSecrets(config),
      verifyTls: own.verify_coordinator_ssl_certificate,
      dated: clock.heard,
    },
    log,
  );
}

function tlsPaths({
  proxy_worker: { tls_listen: on, tls_cert: cert, tls_privkey: key },
}: WorkerConfig): TlsPaths | null {
  return on && cert !== null && key !== null ? { cert, key } : null;
}
