/** The keys of app-proxy-worker.toml, with their defaults and what each is for: one table, of which the README's is made. */
import {
  allowedHosts,
  cidrs,
  debugSection,
  eventsSection,
  loggingSection,
  otelSection,
  secretsSection,
  tlsKeys,
} from "../../shared/config/common.ts";
import * as f from "../../shared/config/fields.ts";
import { redisSection } from "../../shared/config/redis.ts";
import type { Values } from "../../shared/config/load.ts";
import { KERNEL_CIDRS } from "../../shared/http/kernel.ts";
import { originOf } from "../../shared/http/origins.ts";
import { APP_MODES, FRONTEND_MODES } from "../../shared/protocol/schema/circuit.ts";
import { SAME_SITES } from "../access/permit-cookie.ts";
import { ROUTE_POLICIES } from "../upstreams/policy.ts";

/** security 6: raw TCP has no credential. */
const TCP_AUTH = ["setup-address", "none"] as const;

/** Of a worker. */
export const MOST_PROCESSES = 128;

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
    metric_access_allowed_hosts: cidrs(["127.0.0.1/32", "::1/128"], "Who may read `/metrics`"),
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
