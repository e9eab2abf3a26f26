/** Puts a worker together and runs it. Called by main.ts, all-in-one and tests. */
import { readFileSync } from "node:fs";
import type { Bus } from "../shared/bus/bus.ts";
import { addressMatcher } from "../shared/addresses.ts";
import { hostPort } from "../shared/config/fields.ts";
import { ConfigError } from "../shared/config/load.ts";
import type { LiveData } from "../shared/live/live.ts";
import type { Log } from "../shared/log.ts";
import type { WorkerRegistration } from "../shared/schema/worker.ts";
import { startApi } from "./api/server.ts";
import { createBurner } from "./burn.ts";
import { unservedFaults, type WorkerConfig } from "./config.ts";
import { createCoordinatorClient } from "./coordinator-client.ts";
import { createCore } from "./decide.ts";
import type { Engine } from "./engine/engine.ts";
import { createFrontends } from "./frontends.ts";
import { PermitAuthority } from "./permit.ts";
import { createSync, type SyncState } from "./sync.ts";
import { Table } from "./table.ts";
import { bindPort, circuitOrigin } from "./urls.ts";
import { createUsage } from "./usage.ts";

export interface WorkerDeps {
  config: WorkerConfig;
  engine: Engine;
  bus: Bus;
  live: LiveData;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
  newId: () => string;
}

export interface Worker {
  /** Port of the worker's own API. */
  apiPort: number;
  /** Resolves when it has registered and serves its circuits. */
  ready: Promise<void>;
  state: () => SyncState;
  /** Deregisters, lets requests end up to `shutdown_timeout`, writes usage. The handed-in parts stay open. */
  stop(): Promise<void>;
}

/** Starts a worker. Throws when its API address can't be opened or the configuration can't be served. */
export function startWorker(deps: WorkerDeps): Worker {
  const { config, bus, now, newId } = deps;
  const log = deps.log.child({ worker: config.proxy_worker.authority });
  const unserved = unservedFaults(config);
  if (unserved.length > 0) throw new ConfigError("worker", unserved);
  const { proxy_worker: own, permit } = config;
  const tls = readTls(config);
  const table = new Table();
  const usage = createUsage(deps.live, log, now);
  const burner = createBurner(deps.live, log, now);
  const secure = own.tls_advertised || own.tls_listen;
  const admission = {
    permits: new PermitAuthority(config.permit_hash),
    secure,
    acceptLegacy: permit.accept_legacy,
    lifetime: permit.lifetime,
    now,
  };
  const core = createCore({
    table,
    usage,
    burner,
    log,
    admission,
    trusted: addressMatcher(own.trusted_proxies),
    domain: own.wildcard_domain.domain,
  });
  const frontends = createFrontends({
    engine: deps.engine,
    core,
    log,
    hostname: own.port_proxy.bind_host,
    tls,
    bindPort: (port) => bindPort(port, config),
  });

  // The API opens first: a registration tells its port. Its /health/readyz says 503 until circuits are known.
  const api = startApi({
    hostname: own.api_bind_addr.host,
    port: own.api_bind_addr.port,
    tls,
    log,
    setup: {
      table,
      burner,
      admission,
      jwtSecret: config.secrets.jwt_secret,
      origin: ({ circuit }) => circuitOrigin(circuit, config, own.wildcard_domain.bind_addr.port),
      refresh: () => sync.refresh(),
      newId,
    },
    state: () => ({ ...sync.state(), circuits: table.size, events: bus.healthy() }),
  });
  const sync = createSync({
    registration: registration(config, api.port),
    nodeId: newId(),
    coordinator: createCoordinatorClient(own.coordinator_endpoint, config.secrets.api_secret),
    bus,
    table,
    frontends,
    log,
    period: own.heartbeat_period * 1000,
  });
  sync.start();
  log.info({ api: hostPort({ host: own.api_bind_addr.host, port: api.port }) }, "worker is up");

  return {
    apiPort: api.port,
    ready: sync.ready,
    state: () => sync.state(),
    async stop() {
      await Promise.all([sync.stop(), frontends.drain(own.shutdown_timeout * 1000)]);
      await api.stop();
      await usage.stop();
      log.info("worker is down");
    },
  };
}

// --- internal ---

/** What the coordinator is told of this worker. */
function registration({ proxy_worker: own }: WorkerConfig, apiPort: number): WorkerRegistration {
  const { port_proxy: ports, wildcard_domain: wildcard } = own;
  const isPort = own.frontend_mode === "port";
  const range = ports.advertised_port_range ?? ports.bind_port_range;
  return {
    authority: own.authority,
    frontend_mode: own.frontend_mode,
    protocol: own.protocol,
    hostname: own.api_advertised_addr?.host ?? (isPort ? ports.advertised_host : null) ?? own.api_bind_addr.host,
    tls_listen: own.tls_listen,
    tls_advertised: own.tls_advertised,
    api_port: own.api_advertised_addr?.port ?? apiPort,
    port_range: isPort && range !== null ? [...range] : null,
    wildcard_domain: isPort ? null : wildcard.domain,
    wildcard_traffic_port: isPort ? null : (wildcard.advertised_port ?? wildcard.bind_addr.port),
    accepted_traffics: [...own.accepted_traffics],
    filtered_apps_only: own.filtered_apps_only,
    app_filters: own.app_filters.map((filter) => ({ ...filter })),
    traefik_last_used_marker_path: null,
  };
}

function readTls({ proxy_worker: { tls_listen: on, tls_cert: cert, tls_privkey: key } }: WorkerConfig) {
  return on && cert !== null && key !== null
    ? { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") }
    : null;
}
