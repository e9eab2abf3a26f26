/** How many connections the worker has room for: by its configuration, and by how many files the process may have open. */
import { addressMatcher } from "../../shared/http/addresses.ts";
import { ConfigError } from "../../shared/config/load.ts";
import type { WorkerConfig } from "../config/table.ts";
import { Connections } from "../net/connections.ts";
import { Crowding } from "../../shared/net/crowding.ts";
import { fileLimit, shareOut, type FileShare } from "../../shared/net/file-limit.ts";
import { ServedFiles } from "../../shared/net/served-files.ts";
import { UnfinishedMessages } from "../net/unfinished.ts";
import { shareOf, type LanePlace } from "../lanes/lane.ts";
import type { Room } from "../seam/engine.ts";
import type { CircuitRoom } from "../core/crowded.ts";
import type { Parts } from "./parts.ts";

export interface WorkerRoom extends Room, CircuitRoom {
  crowding: Crowding;
}

/** A client's connection, and its app's. */
const CLIENT_FILES = 2;
const OF_ADDRESS = 1000;
/** One circuit leaves as much to all others; so do all circuits of one session, and of one person. */
const SHARE = 0.5;

/** Throws ConfigError when more is configured than there are files. */
export function createRoom({ config, lane, log }: Parts): WorkerRoom {
  const { proxy_worker: own } = config;
  const files = shareOut(fileLimit(), listenersOf(config));
  const room = connectionLimits(own.limits, files, lane);
  const crowding = new Crowding(log);
  log.info(
    {
      connections: room.connections,
      of_address: room.ofAddress,
      of_circuit: room.ofCircuit,
      of_session: room.ofHolder.session,
      of_user: room.ofHolder.user,
      files: files.limit,
    },
    `room for ${room.connections} connections: ${files.limit} files, ${files.keptBack} kept back`,
  );
  return {
    connections: new Connections({
      connections: room.connections,
      ofAddress: room.ofAddress,
      files: files.forConnections,
      isExempt: addressMatcher(own.trusted_proxies),
      crowding,
    }),
    served: new ServedFiles({ limit: files.limit, crowding, log }),
    messages: new UnfinishedMessages({ limit: shareOf(own.limits.unfinished_messages, lane), log }),
    crowding,
    ofCircuit: room.ofCircuit,
    ofHolder: room.ofHolder,
    ofWaiting: waitingOf(room.connections),
  };
}

/** Where there are fewer connections, none is given to who waits for a refusal. */
const ROOMY = 4096;

/** Of so many connections an eighth. */
export function waitingOf(connections: number): number {
  return connections < ROOMY ? 0 : Math.floor(connections / 8);
}

type Limits = Pick<
  WorkerConfig["proxy_worker"]["limits"],
  "connections" | "address_connections" | "circuit_connections" | "session_connections" | "user_connections"
>;

/** What is configured (each of several processes takes its share), or follows from the files of this process. Throws ConfigError for what they do not allow. */
export function connectionLimits(
  limits: Limits,
  { limit, forConnections, keptBack }: FileShare,
  lane: LanePlace | null = null,
): { connections: number; ofAddress: number } & Pick<CircuitRoom, "ofCircuit" | "ofHolder"> {
  const most = Math.floor(forConnections / CLIENT_FILES);
  const asked = Math.floor(limits.connections);
  const connections = asked === 0 ? most : shareOf(asked, lane);
  if (connections > most) {
    const message = `${connections} was given; wanted at most ${most}: the process may open ${limit} files, of which ${keptBack} are kept back, and a connection needs ${CLIENT_FILES} (LimitNOFILE, ulimit -n)`;
    throw new ConfigError("worker", [{ key: "proxy_worker.limits.connections", message }]);
  }
  const part = (wanted: number) =>
    Math.floor(wanted) === 0 ? Math.max(1, Math.floor(connections * SHARE)) : shareOf(Math.floor(wanted), lane);
  return {
    connections,
    ofAddress: shareOf(Math.floor(limits.address_connections) || OF_ADDRESS, lane),
    ofCircuit: part(limits.circuit_connections),
    ofHolder: { session: part(limits.session_connections), user: part(limits.user_connections) },
  };
}

// --- internal ---

/** How many listeners there may be for circuits. */
function listenersOf({ proxy_worker: own }: WorkerConfig): number {
  const range = own.port_proxy.bind_port_range;
  const ports = own.frontend_mode === "wildcard" || range === null ? 1 : range[1] - range[0] + 1;
  // Bun.serve has an old one too for a while when a certificate is renewed.
  return own.tls_listen && own.engine === "serve" ? 2 * ports : ports;
}
