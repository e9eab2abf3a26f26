/** What keeps the worker in step with its coordinator: registration and circuits, kernels that are gone, saved circuits. */
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import type { Homes } from "../circuits/homes.ts";
import { secretId } from "../../shared/runtime/secrets.ts";
import type { WorkerConfig } from "../config/table.ts";
import { createRefusals } from "../health/gone-kernels.ts";
import { reportRoutes } from "../health/http-checks.ts";
import { probeTcp } from "../net/probe-tcp.ts";
import type { Targets } from "../net/targets.ts";
import { jwtSecrets } from "./secrets.ts";
import type { CoordinatorClient } from "../state/coordinator-client.ts";
import { createSnapshots, snapshotPath, type Snapshots } from "../state/snapshot.ts";
import { createSync, type Sync } from "../state/sync.ts";
import { apiAddress } from "../urls.ts";
import type { Circuits } from "./circuits.ts";
import type { DataPlane } from "./data-plane.ts";
import type { Parts } from "./parts.ts";

/** `stop` also ends probes of kernels, and waits for circuits that are being saved. */
export type Control = Sync;

interface ControlDeps {
  coordinator: CoordinatorClient;
  circuits: Circuits;
  dataPlane: DataPlane;
  homes: Homes;
  targets: Targets;
  /** Where the worker's own API is heard. */
  apiPort: number;
}

/** Says nothing to the coordinator before `start`. */
export function createControl(parts: Parts, deps: ControlDeps): Control {
  const { config, bus, nodeId, sharing, log, now } = parts;
  const { coordinator, dataPlane, homes, targets, apiPort } = deps;
  const { table, usage } = deps.circuits;
  const refusals = createRefusals({
    table,
    probe: (host, port) => probeTcp(targets(host, port)),
    report: (id, report) => coordinator.reportRefused(id, report),
    log,
    now,
  });
  const sync = createSync({
    registration: registration(config, apiPort, dataPlane.wildcardPort),
    nodeId,
    supersedes: sharing?.predecessorNode ?? null,
    coordinator,
    bus,
    table,
    frontends: dataPlane.frontends,
    log,
    probe: (circuits) => refusals.probe(circuits),
    report: () => reportRoutes(table),
    told: (answer) => homes.told(answer.home_url),
    usageDelayed: () => usage.delayed(),
    isSucceeded: () => sharing !== null && !sharing.isNew() && (sharing.lanes?.isReplacing() ?? sharing.hasSibling()),
    saved: () => snapshots?.load() ?? null,
    period: config.proxy_worker.heartbeat_period * 1000,
  });
  const snapshots = savedIn(parts, deps.circuits, sync);
  return {
    ...sync,
    async stop() {
      await sync.stop();
      refusals.stop();
      await snapshots?.stop();
    },
  };
}

// --- internal ---

/** Null when that is switched off. */
function savedIn({ config, lane, log, ownNow }: Parts, { table }: Circuits, sync: Sync): Snapshots | null {
  const { snapshot_dir: directory, snapshot_max_age: maxAge, authority } = config.proxy_worker;
  if (directory === "") return null;
  return createSnapshots({
    path: snapshotPath(directory, authority),
    authority,
    maxAge: maxAge * 1000,
    // All have the same circuits: one writes them.
    isReader: lane !== null && lane.number !== 1,
    table,
    state: () => sync.state(),
    log,
    // Compared with the times of files, which this machine's clock has made.
    now: ownNow,
  });
}

/** What the coordinator is told of this worker. */
function registration(config: WorkerConfig, apiPort: number, wildcardPort: number): WorkerRegistration {
  const { proxy_worker: own } = config;
  const api = apiAddress(config, apiPort);
  const { port_proxy: ports, wildcard_domain: wildcard } = own;
  const isPort = own.frontend_mode === "port";
  const range = ports.advertised_port_range ?? ports.bind_port_range;
  return {
    authority: own.authority,
    frontend_mode: own.frontend_mode,
    protocol: own.protocol,
    hostname: api.host,
    tls_listen: own.tls_listen,
    tls_advertised: own.tls_advertised,
    api_port: api.port,
    port_range: isPort && range !== null ? [...range] : null,
    wildcard_domain: isPort ? null : wildcard.domain,
    wildcard_traffic_port: isPort ? null : (wildcard.advertised_port ?? wildcardPort),
    accepted_traffics: [...own.accepted_traffics],
    filtered_apps_only: own.filtered_apps_only,
    app_filters: own.app_filters.map((filter) => ({ ...filter })),
    traefik_last_used_marker_path: null,
    jwt_keys: jwtSecrets(config).map(secretId),
  };
}
