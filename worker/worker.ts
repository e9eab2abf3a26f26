/** Puts a worker together and runs it. Called by main.ts, all-in-one and tests. */
import type { Bus } from "../shared/bus/bus.ts";
import { addressMatcher } from "../shared/http/addresses.ts";
import { hostPort } from "../shared/values.ts";
import { ConfigError } from "../shared/config/load.ts";
import type { LiveData } from "../shared/live/live.ts";
import type { Log } from "../shared/runtime/log.ts";
import type { WorkerRegistration } from "../shared/protocol/schema/worker.ts";
import { isPortFree } from "../shared/runtime/ports.ts";
import { readTls, watchTls, type TlsPair, type TlsPaths } from "../shared/runtime/tls.ts";
import { createAdvice } from "./core/advice.ts";
import { startApi } from "./api/server.ts";
import { createBearers } from "./access/bearer.ts";
import { createBurner } from "./access/single-use.ts";
import { createClock } from "./state/clock.ts";
import { unservedFaults, type WorkerConfig } from "./config.ts";
import { createListed } from "./access/cors.ts";
import { createCoordinatorClient } from "./state/coordinator-client.ts";
import { createCore } from "./core/decide.ts";
import { drain, idleTime } from "./drain.ts";
import { createFirstUses } from "./access/first-use.ts";
import type { Core, Engine } from "./seam/engine.ts";
import { createPortFrontends, createWildcardFrontends, type Frontends } from "./listeners/frontends.ts";
import { createHold } from "./core/hold.ts";
import { Homes } from "./circuits/homes.ts";
import { probeHttp } from "./net/probe-http.ts";
import { accepts, probeTcp } from "./net/probe-tcp.ts";
import type { Kin } from "./listeners/sibling.ts";
import { ephemeralWarning } from "./listeners/linux-ephemeral.ts";
import { createKnocks } from "./access/tcp-allowlist.ts";
import { createMetrics } from "./metrics.ts";
import { PermitAuthority } from "./access/permit.ts";
import { createPermitJar } from "./access/permit-jar.ts";
import { createHealthChecks, reportRoutes } from "./health/http-checks.ts";
import { createRefusals } from "./health/gone-kernels.ts";
import { createProber } from "./health/recovery.ts";
import { createServiceWorkerNotes } from "./circuits/service-workers.ts";
import { createSnapshots, snapshotPath } from "./state/snapshot.ts";
import { createSync, type SyncState } from "./state/sync.ts";
import { Table, type Entry } from "./circuits/table.ts";
import { takeOver } from "./listeners/takeover.ts";
import { bindPort, circuitOrigins } from "./urls.ts";
import { createUsage } from "./circuits/usage.ts";

export interface WorkerDeps {
  config: WorkerConfig;
  engine: Engine;
  /** Who may share this worker's ports; nobody without it. */
  sharing?: Kin | null;
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
  /** Resolves when it has registered and serves its circuits, all that the process does that it takes over from. */
  ready: Promise<void>;
  state: () => SyncState;
  /** Deregisters, lets requests end up to `shutdown_timeout`, writes usage. The handed-in parts stay open. */
  stop(): Promise<void>;
}

/** Starts a worker. Throws when its API address can't be opened or the configuration can't be served. */
export function startWorker(deps: WorkerDeps): Worker {
  const { config, bus, newId } = deps;
  const log = deps.log.child({ worker: config.proxy_worker.authority });
  const clock = createClock({ own: deps.now, steady: () => performance.now(), log });
  const { now } = clock;
  const unserved = unservedFaults(config);
  if (unserved.length > 0) throw new ConfigError("worker", unserved);
  const { proxy_worker: own, permit } = config;
  const files = tlsPaths(config);
  const tls = files === null ? null : readTls(files);
  const prober = createProber(accepts);
  const checks = createHealthChecks({ get: probeHttp, log, now, random: Math.random });
  const table = new Table({
    policies: { interactive: config.routes.interactive_policy, inference: config.routes.inference_policy },
    now,
    random: Math.random,
    out(pool, upstream) {
      const { kernel_host: host, kernel_port: port } = upstream.route;
      log.warn(
        { route: upstream.route.route_id, kernel: hostPort({ host, port }) },
        "a route is left out: it refuses connections",
      );
      prober.watch(pool, upstream);
    },
    changed: (entry) => checks.follow(entry),
  });
  const knocks = createKnocks(deps.live, log, now);
  const usage = createUsage(deps.live, log, now, { openConnections: config.usage.open_connections });
  const burner = createBurner(deps.live, log, now);
  const secure = own.tls_advertised || own.tls_listen;
  const permits = new PermitAuthority(config.permit_hash, { authority: own.authority, compact: permit.compact });
  const cookie = { secure, sameSite: permit.same_site };
  const complete = () => sync.state().known && sync.state().coordinator;
  const originOf = circuitOrigins(config, () => wildcardPort);
  const origin = ({ circuit }: Entry) => originOf(circuit);
  const listed = createListed({ table, everywhere: own.allowed_origins, domain: own.wildcard_domain.domain, origin });
  const admission = {
    permits,
    own: (entry: Entry) => ({ origin: origin(entry), lists: (theirs: string) => listed(entry, theirs) }),
    jar: createPermitJar({ permits, table, cookie, complete, now }),
    bearers: createBearers(config.secrets.jwt_secret, now),
    ...cookie,
    acceptLegacy: permit.accept_legacy,
    lifetime: permit.lifetime,
    now,
  };
  const proxies = { trusted: addressMatcher(own.trusted_proxies), secure };
  const homes = new Homes(own.home_url);
  const serviceWorkers = createServiceWorkerNotes({
    async tell(slots) {
      const id = sync.state().workerId;
      return id !== null && (await coordinator.noteServiceWorkers(id, { slots }));
    },
    log,
  });
  const core = createCore({
    table,
    isReady: () => sync.state().ready,
    usage,
    burner,
    serviceWorkers,
    log,
    admission,
    proxies,
    origin,
    listed,
    advise: createAdvice(proxies, log),
    domain: own.wildcard_domain.domain,
    tcp: { knocks: own.tcp_auth === "none" ? null : knocks, maxConnections: own.tcp_max_connections },
    homes,
    hold: createHold({ reach: accepts, now }),
    capabilities: deps.engine.capabilities,
  });
  const ephemeral = ephemeralWarning(own);
  if (ephemeral !== null) log.warn(ephemeral);
  const { frontends, wildcardPort } = openFrontends(deps, core, tls, log, () => sync.portsChanged());

  const state = () => ({ ...sync.state(), circuits: table.size, events: bus.healthy() });
  // The API opens first: a registration tells its port. Its /health/readyz says 503 until circuits are known.
  const api = startApi({
    hostname: own.api_bind_addr.host,
    port: own.api_bind_addr.port,
    tls,
    sharing: deps.sharing ?? null,
    log,
    setup: {
      table,
      firstUses: createFirstUses(deps.live, log, now),
      admission,
      jwtSecret: config.secrets.jwt_secret,
      knocks,
      proxies,
      origin,
      refresh: () => sync.refresh(),
      newId,
      homes,
    },
    state,
    clock,
    blocked: () => frontends.blocked(),
    metrics: createMetrics({
      table,
      usage,
      clock,
      blocked: () => frontends.blocked(),
      state,
      allowed: own.metric_access_allowed_hosts,
    }),
    about: {
      authority: own.authority,
      app_mode: own.frontend_mode,
      protocol: own.protocol,
      available_slots: slotCount(config),
    },
  });
  const coordinator = createCoordinatorClient(
    {
      baseUrl: own.coordinator_endpoint,
      secret: config.secrets.api_secret,
      verifyTls: own.verify_coordinator_ssl_certificate,
      dated: clock.heard,
    },
    log,
  );
  const refusals = createRefusals({
    table,
    probe: probeTcp,
    report: (id, report) => coordinator.reportRefused(id, report),
    log,
    now,
  });
  const sync = createSync({
    registration: registration(config, api.port, wildcardPort),
    nodeId: newId(),
    coordinator,
    bus,
    table,
    frontends,
    log,
    probe: (circuits) => refusals.probe(circuits),
    report: () => reportRoutes(table),
    told: (answer) => homes.told(answer.home_url),
    usageDelayed: () => usage.delayed(),
    saved: () => snapshots?.load() ?? null,
    period: own.heartbeat_period * 1000,
  });
  const snapshots =
    own.snapshot_dir === ""
      ? null
      : createSnapshots({
          path: snapshotPath(own.snapshot_dir, own.authority),
          authority: own.authority,
          maxAge: own.snapshot_max_age * 1000,
          table,
          state: () => sync.state(),
          log,
          // Compared with the times of files, which this machine's clock has made.
          now: deps.now,
        });
  const unwatch =
    files === null || tls === null
      ? () => undefined
      : watchTls(files, tls, log, (pair) => {
          // What fails with one of them is told; the other has its new certificate all the same.
          try {
            frontends.renew(pair);
          } finally {
            api.renew(pair);
          }
        });
  sync.start();
  log.info({ api: hostPort({ host: own.api_bind_addr.host, port: api.port }) }, "worker is up");

  return {
    apiPort: api.port,
    ready: sync.ready.then(() =>
      takeOver({ kin: deps.sharing ?? null, frontends, retry: () => sync.retryPorts(), log }),
    ),
    state: () => sync.state(),
    async stop() {
      unwatch();
      const ms = own.shutdown_timeout * 1000;
      await Promise.all([sync.leave(), drain(frontends, table, ms), api.handOver(idleTime(ms))]);
      await serviceWorkers.stop();
      await sync.stop();
      prober.stop();
      refusals.stop();
      checks.stop();
      await snapshots?.stop();
      await api.stop();
      await usage.stop();
      log.info("worker is down");
    },
  };
}

// --- internal ---

function slotCount({ proxy_worker: { frontend_mode: mode, port_proxy: ports } }: WorkerConfig): number {
  const range = ports.bind_port_range;
  return mode === "wildcard" || range === null ? 0 : range[1] - range[0] + 1;
}

/** What the coordinator is told of this worker. */
function registration({ proxy_worker: own }: WorkerConfig, apiPort: number, wildcardPort: number): WorkerRegistration {
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
    wildcard_traffic_port: isPort ? null : (wildcard.advertised_port ?? wildcardPort),
    accepted_traffics: [...own.accepted_traffics],
    filtered_apps_only: own.filtered_apps_only,
    app_filters: own.app_filters.map((filter) => ({ ...filter })),
    traefik_last_used_marker_path: null,
  };
}

/** Port mode opens a listener with each circuit, wildcard mode one for all, now. Throws when that can't be had. */
function openFrontends(
  { engine, config, sharing = null }: WorkerDeps,
  core: Core<Entry>,
  tls: TlsPair | null,
  log: Log,
  changed: () => void,
): { frontends: Frontends; wildcardPort: number } {
  const { frontend_mode: mode, protocol, port_proxy: ports, wildcard_domain: wildcard } = config.proxy_worker;
  if (mode === "wildcard") {
    const { host: hostname, port } = wildcard.bind_addr;
    const listener = listenAt(`${hostPort(wildcard.bind_addr)} (proxy_worker.wildcard_domain.bind_addr)`, () =>
      engine.listen({ hostname, port, tls, frontend: { mode: "wildcard" }, sharing }, core),
    );
    return { frontends: createWildcardFrontends(listener), wildcardPort: listener.port };
  }
  const hostname = ports.bind_host;
  let current = tls;
  const frontends = createPortFrontends({
    log,
    bindPort: (port) => bindPort(port, config),
    isFree: (port) => isPortFree(hostname, port),
    changed,
    hasKin: () => sharing?.hasKin() ?? false,
    // Raw TCP is the app's own from the first byte on: it has no TLS of ours.
    listen: (port, seenAs) =>
      protocol === "tcp"
        ? engine.listenTcp({ hostname, port, seenAs, sharing }, core)
        : engine.listen({ hostname, port, tls: current, frontend: { mode: "port", port: seenAs }, sharing }, core),
  });
  const renew = (pair: TlsPair) => {
    current = pair;
    if (protocol !== "tcp") frontends.renew(pair);
  };
  return { frontends: { ...frontends, renew }, wildcardPort: wildcard.bind_addr.port };
}

function listenAt<T>(address: string, listen: () => T): T {
  try {
    return listen();
  } catch (error) {
    throw new Error(`Cannot listen on ${address}`, { cause: error });
  }
}

function tlsPaths({
  proxy_worker: { tls_listen: on, tls_cert: cert, tls_privkey: key },
}: WorkerConfig): TlsPaths | null {
  return on && cert !== null && key !== null ? { cert, key } : null;
}
