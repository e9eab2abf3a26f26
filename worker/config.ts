/** The worker's configuration, one table: app-proxy-worker.toml. */
import { isIP } from "node:net";
import { availableParallelism, hostname } from "node:os";
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
import { redisFaults, redisSection, redisWarnings } from "../shared/config/redis.ts";
import { loadConfig, type Fault, type Loaded, type Values } from "../shared/config/load.ts";
import { KERNEL_CIDRS } from "../shared/http/kernel.ts";
import { ownHosts, type OwnHosts } from "../shared/http/own-hosts.ts";
import { isUrlHost } from "../shared/http/host.ts";
import { originOf } from "../shared/http/origins.ts";
import { reason } from "../shared/failure.ts";
import { hostPort, type Address } from "../shared/values.ts";
import { readTls } from "../shared/runtime/tls.ts";
import { authorityOf } from "../shared/protocol/worker-secret.ts";
import { APP_MODES, FRONTEND_MODES } from "../shared/protocol/schema/circuit.ts";
import { SAME_SITES } from "./access/permit-cookie.ts";
import { ROUTE_POLICIES } from "./upstreams/policy.ts";

export const WORKER_FILE = "app-proxy-worker.toml";
export const WORKER_ENV = "APP_PROXY_WORKER";

/** security 6: raw TCP has no credential. */
const TCP_AUTH = ["setup-address", "none"] as const;

const MOST_PROCESSES = 128;

export const workerTable = {
  redis: redisSection,
  proxy_worker: {
    coordinator_endpoint: f.text("http://127.0.0.1:10200", "URL of the coordinator"),
    verify_coordinator_ssl_certificate: f.flag(true, "Whether the coordinator's certificate must be a trusted one"),
    authority: f.text(
      "",
      "Name of this worker; nodes behind one virtual address share it. Default: this machine's name. Containers, whose names change, need one here",
    ),
    frontend_mode: f.oneOf(FRONTEND_MODES, "port", "How circuits are reached: a port each, or a subdomain each"),
    protocol: f.oneOf(["http", "grpc", "h2", "tcp"], "http", "What its circuits speak"),
    engine: f.oneOf(
      ["serve", "sockets"],
      "serve",
      "What carries HTTP and WebSockets: Bun's own server, or raw sockets, which pass what they carry as it is",
    ),
    accepted_traffics: f.someOf(APP_MODES, "Kinds of circuits that it carries"),
    api_bind_addr: f.address("127.0.0.1:10201", "Where the worker's own API listens (`/setup`, health)"),
    api_advertised_addr: f.optionalAddress("How browsers reach that API; default: `api_bind_addr`"),
    api_advertised_addr_ipv4: f.optionalAddress(
      "How they reach it over IPv4 alone, to show their other address (`/setup` of TCP apps, a link that comes again). Default: where the name of `api_advertised_addr` leads; with TLS none",
    ),
    api_advertised_addr_ipv6: f.optionalAddress("The same over IPv6 alone"),
    ...tlsKeys,
    heartbeat_period: f.number(10, [0.05, 600], "seconds", "Time between heartbeats"),
    filtered_apps_only: f.flag(false, "Carry only circuits that match `app_filters`"),
    metric_access_allowed_hosts: cidrs(["127.0.0.1/32"], "Who may read `/metrics`"),
    allowed_hosts: allowedHosts(
      "`/metrics`",
      "`api_bind_addr`, `api_advertised_addr` (also `_ipv4`, `_ipv6`), `announce_addr`",
    ),
    app_filters: f.filters('Circuits that come here first, such as { key = "session.user_uuid", value = "…" }'),
    trusted_proxies: cidrs([], "Load balancers whose X-Forwarded-For, -Proto, -Host and -Port are believed"),
    accept_proxy_protocol: f.flag(
      false,
      'Connections to circuits from `trusted_proxies` begin with a PROXY header (version 1 or 2); with `engine = "sockets"` or `protocol = "tcp"`',
    ),
    home_url: f.optionalUrl(
      "Where people open apps: our pages lead back there. Default: what the coordinator says (`proxy_coordinator.home_url`)",
    ),
    allowed_origins: f.texts(
      [],
      "a list of origins such as https://portal.example.com",
      "Pages of these origins may call every app with the person's cookies: name only what may act as the person",
      (entry) => originOf(entry) === entry,
    ),
    frame_ancestors: f.texts(
      [],
      "a list of origins such as https://web.example.com",
      "Pages of these origins alone may show apps in frames, beside the app's own pages and those that may call it (`allowed_origins`). Default: what each app says",
      (entry) => originOf(entry) === entry,
    ),
    announce_addr: f.optionalAddress(
      "Where the platform's Prometheus finds `/metrics`; default: `api_bind_addr`, or the advertised one when that is every address",
    ),
    shutdown_timeout: f.number(30, [0, 3600], "seconds", "How long requests may finish after SIGTERM"),
    snapshot_dir: f.text(
      ".",
      "Folder of a small file with the circuits, for a start while the coordinator is away; empty: none is kept",
    ),
    snapshot_max_age: f.number(
      600,
      [1, 31_536_000],
      "seconds",
      "That file counts for so long after its worker was last alive: kernels may have been given to others since",
    ),
    share_ports: f.flag(
      false,
      "Let a second process of this worker take over its ports (Linux, the same user); `bun run supervise` turns it on",
    ),
    processes: f.countOrAuto(
      1,
      [1, MOST_PROCESSES],
      'Processes side by side on the same ports, under `bun run supervise` (Linux); `"auto"`: one for each core that it may use',
    ),
    limits: {
      connections: f.number(
        0,
        [0, 1_000_000],
        "connections",
        "Most clients at once; 0: half of the files that the process may open and does not need itself",
      ),
      address_connections: f.number(
        0,
        [0, 1_000_000],
        "connections",
        "Most clients of one address, or of one IPv6 /64; `trusted_proxies` have no limit; 0: 1,000",
      ),
      circuit_connections: f.number(
        0,
        [0, 1_000_000],
        "connections",
        "Most requests, WebSockets and TCP connections under way of one circuit; 0: half of `connections`",
      ),
      session_connections: f.wholeNumber(
        0,
        [0, 1_000_000],
        "connections",
        "The same of all apps of one session; 0: half of `connections`",
      ),
      user_connections: f.wholeNumber(
        0,
        [0, 1_000_000],
        "connections",
        "The same of all apps that one person has opened; 0: half of `connections`. Model services count for neither",
      ),
      unfinished_messages: f.wholeNumber(
        536_870_912,
        [1_048_576, 1_099_511_627_776],
        "bytes",
        'Most bytes of WebSocket messages that are not whole yet, of all together: then the largest is closed with 1013 (engine "serve", which joins them)',
      ),
      head_size: f.number(
        65_536,
        [4096, 1_048_576],
        "bytes",
        'Longest head of a request, its first line included (engine "sockets")',
      ),
      head_timeout: f.number(
        10,
        [1, 3600],
        "seconds",
        'How long a request\'s head may take from its first byte (engine "sockets")',
      ),
      idle_timeout: f.number(
        75,
        [1, 86_400],
        "seconds",
        'How long a connection is kept without a request (engine "sockets")',
      ),
      body_timeout: f.number(600, [1, 86_400], "seconds", "How long a body may stay out that its app waits for"),
      reader_timeout: f.number(
        600,
        [1, 86_400],
        "seconds",
        'How long a client may take nothing of its answer; with engine "serve" at most 255 seconds of the part that the app has ended',
      ),
    },
    kernel_host_cidrs: cidrs(
      KERNEL_CIDRS,
      "Where kernels may be: nothing else is connected to for a circuit; the same as `proxy_coordinator.kernel_host_cidrs`",
    ),
    tcp_auth: f.oneOf(
      TCP_AUTH,
      "setup-address",
      "Who may use a TCP circuit that is not public: addresses that passed `/setup` for it, or all",
    ),
    tcp_max_connections: f.number(
      1024,
      [1, 1_000_000],
      "connections",
      "Most TCP connections of one circuit; each of several processes takes its share",
    ),
    port_proxy: {
      bind_host: f.text("127.0.0.1", "Where circuits' ports listen"),
      advertised_host: f.optionalText("How browsers reach them; default: `bind_host`"),
      bind_port_range: f.optionalPorts([10205, 10300], "Ports for circuits"),
      advertised_port_range: f.optionalPorts(null, "The same ports as seen from outside; default: `bind_port_range`"),
    },
    wildcard_domain: {
      domain: f.optionalDomain("Parent of the circuits' names, such as .apps.example.com"),
      bind_addr: f.address("127.0.0.1:10250", "Where wildcard traffic listens"),
      advertised_port: f.optionalPort("Its port as seen from outside; default: the bound one"),
    },
  },
  routes: {
    interactive_policy: f.oneOf(ROUTE_POLICIES, "round_robin", "Which kernel of an interactive circuit is next"),
    inference_policy: f.oneOf(ROUTE_POLICIES, "least_outstanding", "Which kernel of an inference circuit is next"),
  },
  secrets: {
    ...secretsSection,
    worker_secret: f.secret(
      "This worker's own secret, in the place of `api_secret`: it opens the calls of this worker alone. `bun run keys --worker AUTHORITY` makes it of the coordinator's",
    ),
    previous_worker_secrets: f.previousSecrets("Those before it, which the coordinator may still want, for rotation"),
  },
  permit_hash: {
    secret: f.secret(
      "Signs permits and tickets; shared by the nodes of an authority (and, with `permit.accept_legacy`, by all workers)",
    ),
    previous_secrets: f.previousSecrets("Secrets whose permits are still accepted, for rotation"),
    digest_mod: f.oneOf(["sha256", "sha224", "sha384", "sha512"], "sha256", "Digest of the compatible permit"),
  },
  permit: {
    accept_legacy: f.flag(false, "Accept and set the original's `appproxy_permit` cookie too"),
    compact: f.flag(
      true,
      "Issue compact permits; `false` as long as a node of this authority runs that reads only the long ones",
    ),
    lifetime: f.number(43_200, [60, 2_592_000], "seconds", "How long a permit lives without use"),
    same_site: f.oneOf(
      SAME_SITES,
      "lax",
      "`none` lets pages of other sites show apps in frames (https only); with `lax` such a frame has a link to a tab of its own",
    ),
  },
  usage: {
    open_connections: f.flag(
      true,
      "Whether an open WebSocket or TCP connection counts as use of its app and session, also while nothing moves over it",
    ),
  },
  events: eventsSection,
  otel: otelSection,
  logging: loggingSection,
  debug: debugSection,
};

export type WorkerConfig = Values<typeof workerTable>;

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

// --- internal ---

/** The coordinator would refuse each call, or take them for another worker's. */
function ownSecretFaults({ secrets, proxy_worker: { authority } }: WorkerConfig): Fault[] {
  return Object.entries({
    "secrets.worker_secret": secrets.worker_secret === "" ? [] : [secrets.worker_secret],
    "secrets.previous_worker_secrets": secrets.previous_worker_secrets,
  }).flatMap(([key, given]) => {
    const wrong = given.find((secret) => authorityOf(secret) !== authority);
    if (wrong === undefined) return [];
    const named = authorityOf(wrong);
    const got = named === null ? "is no worker's own secret" : `is that of the worker ${JSON.stringify(named)}`;
    return [{ key, message: `${got}; wanted what \`bun run keys --worker ${authority}\` prints` }];
  });
}

/** Browsers drop a cookie for frames that is not `Secure`: nobody would get in. */
function frameFaults({ permit, proxy_worker: { tls_advertised: secure } }: WorkerConfig): Fault[] {
  if (permit.same_site !== "none" || secure) return [];
  return [
    {
      key: "permit.same_site",
      message: '"none" was given without TLS; wanted tls_listen or tls_advertised = true with it, or "lax"',
    },
  ];
}

/** Of several processes each would be given another port. */
function sharedPortFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  if (worker.processes === 1) return [];
  const addresses = {
    "proxy_worker.api_bind_addr": worker.api_bind_addr,
    ...(worker.frontend_mode === "wildcard"
      ? { "proxy_worker.wildcard_domain.bind_addr": worker.wildcard_domain.bind_addr }
      : {}),
  };
  return Object.entries(addresses).flatMap(([key, { port }]) =>
    port === 0 ? [{ key, message: "port 0 was given; wanted a port that several processes can share" }] : [],
  );
}

/** An address of the other family, or one place for both: a second look would see nothing new. */
function familyFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  const { api_advertised_addr_ipv4: ipv4, api_advertised_addr_ipv6: ipv6 } = worker;
  const faults: Fault[] = [];
  const judge = (key: string, address: Address | null, other: 4 | 6) => {
    if (address === null) return;
    const wanted = `wanted a name, or an address, of IPv${other === 4 ? 6 : 4} alone, and its port`;
    if (isIP(address.host) === other || !isUrlHost(address.host) || address.port === 0)
      faults.push({ key: `proxy_worker.${key}`, message: `"${hostPort(address)}" was given; ${wanted}` });
  };
  judge("api_advertised_addr_ipv4", ipv4, 6);
  judge("api_advertised_addr_ipv6", ipv6, 4);
  if (ipv4 !== null && ipv6 !== null && hostPort(ipv4).toLowerCase() === hostPort(ipv6).toLowerCase())
    faults.push({
      key: "proxy_worker.api_advertised_addr_ipv6",
      message: `"${hostPort(ipv6)}" is api_advertised_addr_ipv4 too; wanted one that leads over IPv6 alone`,
    });
  return faults;
}

function proxyHeaderFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  if (!worker.accept_proxy_protocol) return [];
  const key = "proxy_worker.accept_proxy_protocol";
  const faults: Fault[] = [];
  if (worker.trusted_proxies.length === 0) {
    faults.push({
      key,
      message: "true was given without proxy_worker.trusted_proxies; wanted there who sends the PROXY header",
    });
  }
  if (worker.engine === "serve" && worker.protocol !== "tcp") {
    faults.push({
      key,
      message: `true was given with engine "serve" and protocol "${worker.protocol}"; wanted engine "sockets" or protocol "tcp": Bun's own server can't read the PROXY header`,
    });
  }
  return faults;
}

function frontendFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  const faults: Fault[] = [];
  if (!URL.canParse(worker.coordinator_endpoint) || !/^https?:/.test(worker.coordinator_endpoint)) {
    faults.push({
      key: "proxy_worker.coordinator_endpoint",
      message: `"${worker.coordinator_endpoint}" was given; wanted an http or https URL`,
    });
  }
  if (worker.frontend_mode === "wildcard") {
    if (worker.protocol === "tcp") {
      faults.push({
        key: "proxy_worker.frontend_mode",
        message: '"wildcard" was given with protocol "tcp"; wanted "port": raw TCP names no host',
      });
    }
    if (worker.wildcard_domain.domain === null) {
      faults.push({
        key: "proxy_worker.wildcard_domain.domain",
        message: "is missing; wanted a domain, because frontend_mode is wildcard",
      });
    }
    return faults;
  }
  const { bind_port_range: bound, advertised_port_range: advertised } = worker.port_proxy;
  if (bound === null)
    return [...faults, { key: "proxy_worker.port_proxy.bind_port_range", message: "is missing; wanted [first, last]" }];
  if (advertised !== null && advertised[1] - advertised[0] !== bound[1] - bound[0]) {
    faults.push({
      key: "proxy_worker.port_proxy.advertised_port_range",
      message: `[${advertised.join(", ")}] was given; wanted as many ports as bind_port_range [${bound.join(", ")}]`,
    });
  }
  return faults;
}
