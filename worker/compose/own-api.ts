/** The worker's own API with what it shows: figures, health, and `/setup` for those who enter. */
import { startApi, type ApiServer } from "../api/server.ts";
import { createLate } from "../listeners/late.ts";
import type { TlsPair } from "../../shared/runtime/tls.ts";
import { machineNames } from "../../shared/runtime/machine-names.ts";
import { hostsOf } from "../config.ts";
import type { WorkerConfig } from "../config/table.ts";
import { createMetrics } from "../metrics.ts";
import { jwtSecrets } from "./secrets.ts";
import type { SyncState } from "../state/sync.ts";
import type { Access } from "./access.ts";
import type { Circuits } from "./circuits.ts";
import type { DataPlane } from "./data-plane.ts";
import type { Parts } from "./parts.ts";
import type { WorkerRoom } from "./room.ts";

interface OwnApiDeps {
  circuits: Circuits;
  access: Access;
  dataPlane: DataPlane;
  room: WorkerRoom;
  tls: TlsPair | null;
  sync: () => SyncState;
  /** Fetches what this node may not know yet. */
  refresh: () => Promise<void>;
}

export interface OwnApi extends ApiServer {
  /** Opens it where others serve already: a process that knows no circuits yet gets none of their calls. Throws as below. */
  join(): void;
}

/** Throws when its address can't be had. */
export function openOwnApi(parts: Parts, deps: OwnApiDeps): OwnApi {
  const { port } = parts.config.proxy_worker.api_bind_addr;
  const server = createLate(parts.sharing?.lanes?.serve(port) ?? false, () => open(parts, deps));
  return {
    port: server.opened()?.port ?? port,
    join: () => server.open(),
    renew: (tls) => server.opened()?.renew(tls),
    handOver: async (idleMs) => server.closed()?.handOver(idleMs),
    stop: async () => server.closed()?.stop(),
  };
}

// --- internal ---

function open(parts: Parts, deps: OwnApiDeps): ApiServer {
  const { config, bus, sharing, lane, log, clock, nodeId, newId } = parts;
  const { proxy_worker: own } = config;
  const { access, room, tls, refresh } = deps;
  const { table, usage } = deps.circuits;
  const state = () => ({ ...deps.sync(), circuits: table.size, events: bus.healthy() });
  const blocked = () => deps.dataPlane.frontends.blocked();
  return startApi({
    hostname: own.api_bind_addr.host,
    port: own.api_bind_addr.port,
    tls,
    sharing,
    served: room.served,
    log,
    setup: {
      ...access,
      table,
      jwtSecrets: jwtSecrets(config),
      everybody: own.tcp_auth === "none",
      refresh,
      newId,
    },
    state,
    clock,
    blocked,
    metrics: createMetrics({
      table,
      usage,
      clock,
      room,
      blocked,
      state,
      lane,
      allowed: own.metric_access_allowed_hosts,
      hosts: hostsOf(config, machineNames()),
    }),
    lane,
    about: {
      authority: own.authority,
      node_id: nodeId,
      app_mode: own.frontend_mode,
      protocol: own.protocol,
      available_slots: slotCount(config),
    },
  });
}

function slotCount({ proxy_worker: { frontend_mode: mode, port_proxy: ports } }: WorkerConfig): number {
  const range = ports.bind_port_range;
  return mode === "wildcard" || range === null ? 0 : range[1] - range[0] + 1;
}
