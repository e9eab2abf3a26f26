/** Configuration files for tests: loopback, free ports, test secrets. */
import { stringify } from "smol-toml";
import { isRecord } from "../../shared/values.ts";
import { API_SECRET, JWT_SECRET, PERMIT_SECRET } from "./manager.ts";

type Section = Record<string, unknown>;

/** A test's circuits are often one person's. */
const OF_ONE_PERSON = { session_circuits: 0, user_circuits: 0 };
/** A test's clients all come from one address, and often to one circuit, or one person's. */
const FROM_ONE_ADDRESS = {
  address_connections: 1_000_000,
  circuit_connections: 1_000_000,
  session_connections: 1_000_000,
  user_connections: 1_000_000,
};

export interface ClusterSettings {
  redisPort?: number | undefined;
  /** More of `[redis]` in each file. */
  redis?: { coordinator: Section; worker: Section } | undefined;
  /** The platform's own Redis, where it is another one. */
  coreRedisPort?: number | undefined;
  coordinator?: Section | undefined;
  worker?: Section | undefined;
  /** More secrets of the coordinator. */
  secrets?: Section | undefined;
  permit?: Section | undefined;
  events?: Section | undefined;
  /** Other sections of the worker's file. */
  sections?: Record<string, Section> | undefined;
}

export function coordinatorToml(
  dbPath: string,
  { redisPort, redis, coreRedisPort: core, coordinator, secrets, events }: ClusterSettings,
): string {
  return stringify({
    db: { path: dbPath },
    ...redisAt(redisPort, redis?.coordinator),
    ...(core === undefined ? {} : { core_redis: { addr: `127.0.0.1:${core}` } }),
    proxy_coordinator: {
      bind_addr: "127.0.0.1:0",
      ...coordinator,
      limits: { ...OF_ONE_PERSON, ...section(coordinator?.["limits"]) },
    },
    secrets: { api_secret: API_SECRET, jwt_secret: JWT_SECRET, ...secrets },
    ...(events === undefined ? {} : { events }),
    logging: { level: "debug" },
  });
}

/** `portLow` starts a range of `ports`. */
export function workerToml(
  endpoint: string,
  portLow: number,
  ports: number,
  { redisPort, redis, worker, permit, events, sections }: ClusterSettings,
): string {
  return stringify({
    ...redisAt(redisPort, redis?.worker),
    proxy_worker: {
      authority: "worker-1",
      coordinator_endpoint: endpoint,
      api_bind_addr: "127.0.0.1:0",
      heartbeat_period: 1,
      shutdown_timeout: 1,
      snapshot_dir: "",
      ...worker,
      limits: { ...FROM_ONE_ADDRESS, ...section(worker?.["limits"]) },
      port_proxy: { bind_port_range: [portLow, portLow + ports - 1], ...section(worker?.["port_proxy"]) },
    },
    secrets: { api_secret: API_SECRET, jwt_secret: JWT_SECRET },
    permit_hash: { secret: PERMIT_SECRET },
    ...(permit === undefined ? {} : { permit }),
    ...(events === undefined ? {} : { events }),
    ...sections,
    logging: { level: "debug" },
  });
}

function section(value: unknown): Section {
  return isRecord(value) ? value : {};
}

function redisAt(port: number | undefined, more: Section = {}): Section {
  return port === undefined ? {} : { redis: { addr: `127.0.0.1:${port}`, ...more } };
}
