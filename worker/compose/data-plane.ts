/** What carries users' traffic: the core on the circuits, and the listeners through which the engine asks it. */
import { hostPort } from "../../shared/values.ts";
import { isPortFree } from "../../shared/runtime/ports.ts";
import type { TlsPair } from "../../shared/runtime/tls.ts";
import type { ServiceWorkerNotes } from "../circuits/service-workers.ts";
import type { Entry } from "../circuits/table.ts";
import { createAdvice } from "../core/advice.ts";
import { createCore } from "../core/decide.ts";
import { createHold } from "../core/hold.ts";
import { drain } from "../drain.ts";
import { createProxyHeaders } from "../http/proxy-headers.ts";
import { createPortFrontends, createWildcardFrontends, type Frontends } from "../listeners/frontends.ts";
import { createLate } from "../listeners/late.ts";
import { accepts } from "../net/probe-tcp.ts";
import { shareOf } from "../lanes/lane.ts";
import type { ConnectionLimits, Core, ListenOptions } from "../seam/engine.ts";
import type { WorkerConfig } from "../config/table.ts";
import { bindPort } from "../urls.ts";
import type { Access } from "./access.ts";
import type { Circuits } from "./circuits.ts";
import type { Parts } from "./parts.ts";
import type { WorkerRoom } from "./room.ts";

export interface DataPlane {
  frontends: Frontends;
  /** Opens what waits until this process serves, where others serve already. Throws when that can't be had. */
  join(): void;
  /** The port on which wildcard traffic is heard; in port mode the configured one. */
  wildcardPort: number;
  /** Ends the traffic within `shutdown_timeout`: nothing new, running requests finish, and what is left is closed. */
  stop(): Promise<void>;
}

interface DataPlaneDeps {
  circuits: Circuits;
  access: Access;
  serviceWorkers: Pick<ServiceWorkerNotes, "fetched">;
  room: WorkerRoom;
  tls: TlsPair | null;
  /** False until circuits are known for the first time. */
  isReady: () => boolean;
  /** Fetches what this node may not know yet. */
  refresh: () => Promise<void>;
  /** There is one port more or less that can't be opened. */
  portsChanged: () => void;
}

/** Throws when the address of wildcard traffic can't be had. */
export function createDataPlane(parts: Parts, deps: DataPlaneDeps): DataPlane {
  const { config, lane, log, now } = parts;
  const { proxy_worker: own } = config;
  const { circuits, access, serviceWorkers, room, isReady, refresh } = deps;
  const { table, usage } = circuits;
  const { allowlist, proxies } = access;
  const core = createCore({
    ...access,
    table,
    isReady,
    refresh,
    usage,
    serviceWorkers,
    room,
    log,
    advise: createAdvice(proxies, log),
    domain: own.wildcard_domain.domain,
    tcp: {
      allowlist: own.tcp_auth === "none" ? null : allowlist,
      maxConnections: shareOf(own.tcp_max_connections, lane),
    },
    hold: createHold({ reach: accepts, now }),
    capabilities: parts.engine.capabilities,
  });
  const steady = () => performance.now();
  const proxyHeaders = own.accept_proxy_protocol ? createProxyHeaders(proxies.trusted, log, steady) : null;
  const open = own.frontend_mode === "wildcard" ? openWildcard : openPorts;
  const opened = open(parts, core, deps, {
    sharing: parts.sharing,
    limits: limitsOf(own.limits),
    proxyHeaders,
    room,
  });
  return {
    ...opened,
    async stop() {
      await drain(opened.frontends, table, own.shutdown_timeout * 1000);
    },
  };
}

// --- internal ---

type Opened = Pick<DataPlane, "frontends" | "wildcardPort" | "join">;
/** What is the same for every listener. */
type Common = Pick<ListenOptions, "sharing" | "limits" | "proxyHeaders" | "room">;

/** One listener for all circuits: now, unless another process of the worker has their connections already. */
function openWildcard({ engine, config }: Parts, core: Core<Entry>, { tls }: DataPlaneDeps, common: Common): Opened {
  const { bind_addr: address } = config.proxy_worker.wildcard_domain;
  const { host: hostname, port } = address;
  const listener = createLate(common.sharing?.lanes?.serve(port) ?? false, () =>
    listenAt(`${hostPort(address)} (proxy_worker.wildcard_domain.bind_addr)`, () =>
      engine.listen({ ...common, hostname, port, tls, frontend: { mode: "wildcard" } }, core),
    ),
  );
  const heardAt = () => listener.opened()?.port ?? port;
  const frontends = createWildcardFrontends({
    get port() {
      return heardAt();
    },
    close: async (how, idleMs) => listener.closed()?.close(how, idleMs),
    renew: (pair) => listener.opened()?.renew(pair),
  });
  return { frontends, wildcardPort: heardAt(), join: () => listener.open() };
}

/** A listener with each circuit. */
function openPorts(
  { engine, config, sharing, log }: Parts,
  core: Core<Entry>,
  deps: DataPlaneDeps,
  common: Common,
): Opened {
  const { protocol, port_proxy: ports, wildcard_domain: wildcard } = config.proxy_worker;
  const hostname = ports.bind_host;
  let tls = deps.tls;
  const frontends = createPortFrontends({
    log,
    bindPort: (port) => bindPort(port, config),
    isFree: (port) => isPortFree(hostname, port),
    changed: deps.portsChanged,
    hasSibling: () => sharing?.hasSibling() ?? false,
    // Raw TCP is the app's own from the first byte on: it has no TLS of ours.
    listen: (port, seenAs) =>
      protocol === "tcp"
        ? engine.listenTcp({ ...common, hostname, port, seenAs }, core)
        : engine.listen({ ...common, hostname, port, tls, frontend: { mode: "port", port: seenAs } }, core),
  });
  const renew = (pair: TlsPair) => {
    tls = pair;
    if (protocol !== "tcp") frontends.renew(pair);
  };
  // Each is opened when its circuit is known: there is nothing to wait for.
  return { frontends: { ...frontends, renew }, wildcardPort: wildcard.bind_addr.port, join: () => undefined };
}

function limitsOf(own: WorkerConfig["proxy_worker"]["limits"]): ConnectionLimits {
  return {
    head: own.head_size,
    headMs: own.head_timeout * 1000,
    idleMs: own.idle_timeout * 1000,
    bodyMs: own.body_timeout * 1000,
    readerMs: own.reader_timeout * 1000,
  };
}

function listenAt<T>(address: string, listen: () => T): T {
  try {
    return listen();
  } catch (error) {
    throw new Error(`Cannot listen on ${address}`, { cause: error });
  }
}
