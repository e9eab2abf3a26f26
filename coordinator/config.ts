/** The coordinator's configuration, one table: app-proxy-coordinator.toml. */
import {
  allowedHosts,
  cidrs,
  debugSection,
  eventsSection,
  impliedTls,
  loggingSection,
  otelSection,
  secretsSection,
  secretStoppers,
  tlsFaults,
  tlsKeys,
  type NamedSecrets,
  warningsOf,
} from "../shared/config/common.ts";
import * as f from "../shared/config/fields.ts";
import { coreRedisSection, redisFaults, redisSection, redisWarnings } from "../shared/config/redis.ts";
import { KERNEL_CIDRS } from "../shared/http/kernel.ts";
import { ownHosts, type OwnHosts } from "../shared/http/own-hosts.ts";
import { authorityOf } from "../shared/protocol/worker-secret.ts";
import { loadConfig, type Fault, type Loaded, type Values } from "../shared/config/load.ts";

export const COORDINATOR_FILE = "app-proxy-coordinator.toml";
export const COORDINATOR_ENV = "APP_PROXY_COORDINATOR";

export const coordinatorTable = {
  db: {
    type: f.oneOf(
      ["sqlite", "postgresql"],
      "sqlite",
      "Kind of database; only sqlite is used, the original's `postgresql` keys are accepted and named in the log",
    ),
    path: f.text("app-proxy-coordinator.sqlite3", "File of the SQLite database"),
  },
  redis: redisSection,
  core_redis: coreRedisSection,
  proxy_coordinator: {
    bind_addr: f.address("127.0.0.1:10200", "Where the API listens"),
    advertised_addr: f.optionalAddress("How others reach the API; default: `bind_addr`"),
    home_url: f.optionalUrl(
      "Where people open apps, such as https://web.example.com: our error pages, the workers' too, lead back there. Default: the site from which an app was opened",
    ),
    announce_addr: f.optionalAddress(
      "Where the platform's Prometheus finds `/metrics`; default: `bind_addr`, or the advertised one when that is every address",
    ),
    ...tlsKeys,
    enable_traefik: f.flag(
      false,
      "Of the original; `true` is refused: this version's workers carry the traffic themselves",
    ),
    allow_unauthorized_configure_request: f.flag(false, "Take `POST /v2/conf` without a token from anywhere"),
    manager_cidrs: cidrs(
      ["127.0.0.0/8", "::1/128"],
      "Where `POST /v2/conf` may come from without a token: the Managers",
    ),
    kernel_host_cidrs: cidrs(
      KERNEL_CIDRS,
      "Where kernels may be: circuits and model services that lead elsewhere are refused; default: private ranges and loopback",
    ),
    allowed_hosts: allowedHosts(
      "`POST /v2/conf` without a token and `/metrics`",
      "`bind_addr`, `advertised_addr`, `announce_addr`",
    ),
    worker_heartbeat_timeout: f.number(30, [1, 3600], "seconds", "A worker not heard of for this long is LOST"),
    unused_circuit_collection_timeout: f.number(
      3600,
      [1, 31_536_000],
      "seconds",
      "An interactive circuit unused for this long may be collected",
    ),
    metric_access_allowed_hosts: cidrs(["127.0.0.1/32", "::1/128"], "Who may read `/metrics`"),
    token_lifetime: f.number(600, [1, 86_400], "seconds", "A token of `POST /v2/conf` lives this long"),
    endpoint_relocation_timeout: f.number(
      300,
      [1, 31_536_000],
      "seconds",
      "An endpoint whose worker has been away for this long gets another worker, and so another URL, when the Manager asks for it",
    ),
    max_body_bytes: f.number(1_048_576, [1024, 1_073_741_824], "bytes", "Longest body of a call"),
    max_bulk_body_bytes: f.number(
      16_777_216,
      [1024, 1_073_741_824],
      "bytes",
      "The same for callers with the api_secret: calls about thousands of routes, heartbeats of busy workers",
    ),
    circuit_ack_timeout: f.number(
      15,
      [0.05, 100],
      "seconds",
      "How long a creation waits for a worker's acknowledgement",
    ),
    limits: {
      session_circuits: f.wholeNumber(16, [0, 1_000_000], "circuits", "Most open apps of one session; 0: no limit"),
      user_circuits: f.wholeNumber(
        64,
        [0, 1_000_000],
        "circuits",
        "Most open apps of one person, over all sessions; 0: no limit. Model services count for neither",
      ),
    },
  },
  secrets: {
    ...secretsSection,
    worker_secret: f.secret(
      "Of which workers' own secrets are made (`bun run keys --worker AUTHORITY`), for workers that are not to have the `api_secret`; no worker has this one. Default: workers have the `api_secret`",
    ),
    previous_worker_secrets: f.previousSecrets("Those before it, whose workers still count, for rotation"),
  },
  events: eventsSection,
  otel: otelSection,
  logging: loggingSection,
  debug: debugSection,
};

export type CoordinatorConfig = Values<typeof coordinatorTable>;

/** Reads the configuration. Throws ConfigError with all faults. */
export function loadCoordinatorConfig(
  source: string,
  toml: string,
  env: Record<string, string | undefined>,
): Loaded<typeof coordinatorTable> {
  return loadConfig(coordinatorTable, {
    source,
    toml,
    env,
    prefix: COORDINATOR_ENV,
    imply: (config) => ({ ...config, proxy_coordinator: schemeOfHost(impliedTls(config.proxy_coordinator)) }),
    check: (config) => [
      ...secretStoppers(namedSecrets(config), config.debug.enabled),
      ...rootFaults(config),
      ...redisFaults("redis", config.redis),
      ...redisFaults("core_redis", config.core_redis),
      ...tlsFaults("proxy_coordinator", config.proxy_coordinator),
      ...traefikFaults(config),
    ],
  });
}

/** What is told at start and by `--check`, and stops nothing. */
export function coordinatorWarnings(config: CoordinatorConfig): string[] {
  const { redis, core_redis: core } = config;
  return [...warningsOf(config), ...redisWarnings("redis", redis), ...redisWarnings("core_redis", core)];
}

/** What callers on this machine, whose names are `machine`, may call the coordinator. */
export function hostsOf({ proxy_coordinator: own }: CoordinatorConfig, machine: readonly string[]): OwnHosts {
  const configured = [own.bind_addr, own.advertised_addr, own.announce_addr].map((address) => address?.host ?? null);
  return ownHosts([...configured, ...own.allowed_hosts, ...machine], "proxy_coordinator.allowed_hosts");
}

/** The secrets by key, for the rules about them. */
export function namedSecrets({ secrets }: CoordinatorConfig): NamedSecrets {
  return {
    "secrets.api_secret": secrets.api_secret,
    "secrets.jwt_secret": secrets.jwt_secret,
    ...(secrets.worker_secret === "" ? {} : { "secrets.worker_secret": secrets.worker_secret }),
    "secrets.previous_api_secrets": secrets.previous_api_secrets,
    "secrets.previous_jwt_secrets": secrets.previous_jwt_secrets,
    "secrets.previous_worker_secrets": secrets.previous_worker_secrets,
  };
}

// --- internal ---

/** A worker's own secret in the place of the one that all are made of: it would make secrets that no worker has. */
function rootFaults({ secrets }: CoordinatorConfig): Fault[] {
  return Object.entries({
    "secrets.worker_secret": [secrets.worker_secret],
    "secrets.previous_worker_secrets": secrets.previous_worker_secrets,
  }).flatMap(([key, given]) => {
    const authority = given.map(authorityOf).find((name) => name !== null);
    if (authority === undefined) return [];
    const message = `is the own secret of the worker ${JSON.stringify(authority)}; wanted the one that workers' secrets are made of`;
    return [{ key, message }];
  });
}

/** Workers behind Traefik get their routes from etcd, where only the original's coordinator writes them. */
function traefikFaults({ proxy_coordinator: { enable_traefik: isOn } }: CoordinatorConfig): Fault[] {
  const message =
    'true was given; wanted false: this version does not configure Traefik. Its workers carry the traffic themselves, with frontend_mode "port" or "wildcard"';
  return isOn ? [{ key: "proxy_coordinator.enable_traefik", message }] : [];
}

/** The original takes a scheme in the advertised host, and it wins: `{ host = "https://apps.example.com", port = 443 }`. */
function schemeOfHost(section: CoordinatorConfig["proxy_coordinator"]): CoordinatorConfig["proxy_coordinator"] {
  const { advertised_addr: address } = section;
  const [, scheme, host] = /^(https?):\/\/(.+)$/i.exec(address?.host ?? "") ?? [];
  if (address === null || scheme === undefined || host === undefined) return section;
  const secure = scheme.toLowerCase() === "https";
  return { ...section, tls_advertised: secure, advertised_addr: { host, port: address.port } };
}
