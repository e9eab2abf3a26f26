/** The worker's configuration, read: what its file (config/table.ts) means, what is wrong with it, and what is told of it. */
import { availableParallelism, hostname } from "node:os";
import { impliedTls, secretStoppers, tlsFaults, type NamedSecrets, warningsOf } from "../shared/config/common.ts";
import { redisFaults, redisWarnings } from "../shared/config/redis.ts";
import { loadConfig, type Fault, type Loaded } from "../shared/config/load.ts";
import { ownHosts, type OwnHosts } from "../shared/http/own-hosts.ts";
import { reason } from "../shared/failure.ts";
import { readTls } from "../shared/runtime/tls.ts";
import {
  familyFaults,
  frameFaults,
  frontendFaults,
  ownSecretFaults,
  proxyHeaderFaults,
  sharedPortFaults,
} from "./config/rules.ts";
import { MOST_PROCESSES, workerTable, type WorkerConfig } from "./config/table.ts";

export const WORKER_FILE = "app-proxy-worker.toml";
export const WORKER_ENV = "APP_PROXY_WORKER";

/** Reads the configuration; `machine` is this machine's name. Throws ConfigError with all faults. */
export function loadWorkerConfig(
  source: string,
  toml: string,
  env: Record<string, string | undefined>,
  machine: string = hostname(),
): Loaded<typeof workerTable> {
  return loadConfig(workerTable, {
    source,
    toml,
    env,
    prefix: WORKER_ENV,
    imply: (config) => {
      const own = impliedTls(config.proxy_worker);
      // Two machines with the same name would be two nodes of one worker.
      return { ...config, proxy_worker: { ...own, authority: own.authority === "" ? machine : own.authority } };
    },
    check: (config) => [
      ...secretStoppers(namedSecrets(config), config.debug.enabled),
      ...ownSecretFaults(config),
      ...redisFaults("redis", config.redis),
      ...tlsFaults("proxy_worker", config.proxy_worker),
      ...frontendFaults(config),
      ...familyFaults(config),
      ...proxyHeaderFaults(config),
      ...frameFaults(config),
      ...sharedPortFaults(config),
    ],
  });
}

/** What is told at start and by `--check`, and stops nothing. */
export function workerWarnings(config: WorkerConfig): string[] {
  const { worker_secret: own, api_secret: api } = config.secrets;
  const needless =
    own === "" || api === ""
      ? []
      : [
          "secrets.api_secret: the worker has a worker_secret too; without the api_secret it could not act as the Manager",
        ];
  return [...warningsOf(config), ...redisWarnings("redis", config.redis), ...needless];
}

/** What the configuration asks of this version that it can't do; the original's other workers still can. */
export function unservedFaults({ proxy_worker: { protocol } }: WorkerConfig): Fault[] {
  if (protocol === "http" || protocol === "tcp") return [];
  return [
    { key: "proxy_worker.protocol", message: `"${protocol}" is not served by this version; wanted "http" or "tcp"` },
  ];
}

/** How many processes `proxy_worker.processes` means here: `"auto"` is the cores that this process may use. */
export function processCount(processes: number | "auto"): number {
  return processes === "auto" ? Math.min(availableParallelism(), MOST_PROCESSES) : processes;
}

/** Several processes where there is no supervisor that starts them, or one that was started for a single one. */
export function processFaults({ proxy_worker: { processes } }: WorkerConfig): Fault[] {
  if (processCount(processes) === 1) return [];
  return [
    {
      key: "proxy_worker.processes",
      message: `${JSON.stringify(processes)} was given to a worker on its own; wanted 1, or a start (no reload) with \`bun run supervise\` (worker/supervise.ts)`,
    },
  ];
}

/** Certificate and key that can't be used: told by `--check` and at start. */
export function tlsFileFaults({
  proxy_worker: { tls_listen: on, tls_cert: cert, tls_privkey: key },
}: WorkerConfig): Fault[] {
  if (!on || cert === null || key === null) return [];
  try {
    readTls({ cert, key });
    return [];
  } catch (error) {
    return [{ key: "proxy_worker.tls_cert, proxy_worker.tls_privkey", message: `${cert}, ${key}: ${reason(error)}` }];
  }
}

/** What callers on this machine, whose names are `machine`, may call the worker's API. */
export function hostsOf({ proxy_worker: own }: WorkerConfig, machine: readonly string[]): OwnHosts {
  const addresses = [
    own.api_bind_addr,
    own.api_advertised_addr,
    own.api_advertised_addr_ipv4,
    own.api_advertised_addr_ipv6,
    own.announce_addr,
  ];
  const configured = [...addresses.map((address) => address?.host ?? null), own.port_proxy.advertised_host];
  return ownHosts([...configured, ...own.allowed_hosts, ...machine], "proxy_worker.allowed_hosts");
}

/** The secrets by key, for the rules about them. */
export function namedSecrets({ secrets, permit_hash: permit }: WorkerConfig): NamedSecrets {
  const { worker_secret: own } = secrets;
  return {
    // With a secret of its own a worker needs no other to call the coordinator.
    ...(own !== "" && secrets.api_secret === "" ? {} : { "secrets.api_secret": secrets.api_secret }),
    ...(own === "" ? {} : { "secrets.worker_secret": own }),
    "secrets.jwt_secret": secrets.jwt_secret,
    "permit_hash.secret": permit.secret,
    "secrets.previous_api_secrets": secrets.previous_api_secrets,
    "secrets.previous_jwt_secrets": secrets.previous_jwt_secrets,
    "secrets.previous_worker_secrets": secrets.previous_worker_secrets,
    "permit_hash.previous_secrets": permit.previous_secrets,
  };
}
