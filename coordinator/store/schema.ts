/**
 * The database: the truth about workers, circuits and tokens. Migrations in drizzle/ are generated from this file.
 * Times are epoch milliseconds. Slots are unique by index: (worker, port) and (worker, subdomain).
 */
import { sql } from "drizzle-orm";
import { foreignKey, index, integer, primaryKey, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ProxyProtocol } from "../../shared/protocol/schema/basics.ts";
import type { AppMode, Circuit, FrontendMode, Route } from "../../shared/protocol/schema/circuit.ts";
import type { HealthCheck } from "../../shared/protocol/schema/health-check.ts";
import type { RouteReports } from "../../shared/protocol/schema/health.ts";

/** Single values: `epoch` is the random id of this database. */
export const meta = sqliteTable("meta", {
  key: text("key").primaryKey(),
  value: text("value").notNull(),
});

export const workers = sqliteTable(
  "workers",
  {
    id: text("id").primaryKey(),
    authority: text("authority").notNull(),
    frontendMode: text("frontend_mode").$type<FrontendMode>().notNull(),
    protocol: text("protocol").$type<ProxyProtocol>().notNull(),
    hostname: text("hostname").notNull(),
    tlsListen: integer("tls_listen", { mode: "boolean" }).notNull(),
    tlsAdvertised: integer("tls_advertised", { mode: "boolean" }).notNull(),
    apiPort: integer("api_port").notNull(),
    portLow: integer("port_low"),
    portHigh: integer("port_high"),
    wildcardDomain: text("wildcard_domain"),
    wildcardTrafficPort: integer("wildcard_traffic_port"),
    acceptedTraffics: text("accepted_traffics", { mode: "json" }).$type<AppMode[]>().notNull(),
    filteredAppsOnly: integer("filtered_apps_only", { mode: "boolean" }).notNull(),
    /** Registered without a node id: the original, which speaks only what that speaks. */
    isOriginal: integer("is_original", { mode: "boolean" }).notNull().default(false),
    traefikLastUsedMarkerPath: text("traefik_last_used_marker_path"),
    status: text("status").$type<"ALIVE" | "LOST" | "TERMINATED">().notNull(),
    /** Grows by one with each change of this worker's circuits. */
    revision: integer("revision").notNull().default(0),
    /** Of its circuits (shared/protocol/digest.ts): kept with each change, reckoned anew at each start. */
    digest: integer("digest").notNull().default(0),
    /** The `jwt_keys` of the node that was heard last: tokens are minted for its successors too while none is there. */
    jwtKeys: text("jwt_keys", { mode: "json" }).$type<string[]>(),
    lastSeenAt: integer("last_seen_at").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (t) => [uniqueIndex("workers_authority").on(t.authority)],
);

/** Several nodes may serve one worker's authority; each lives as long as its lease. */
export const nodes = sqliteTable(
  "nodes",
  {
    workerId: text("worker_id")
      .notNull()
      .references(() => workers.id, { onDelete: "cascade" }),
    nodeId: text("node_id").notNull(),
    leaseUntil: integer("lease_until").notNull(),
    /** The revision that the node last said it has. */
    revision: integer("revision"),
    /** Whether its table was then equal to the database's; null when that can't be said. */
    agrees: integer("agrees", { mode: "boolean" }),
    /** It could not write users' activity to Redis: what Redis says of its circuits may be old. */
    usageDelayed: integer("usage_delayed", { mode: "boolean" }).notNull().default(false),
    /** What it last said of the kernels of model services. */
    routeReports: text("route_reports", { mode: "json" }).$type<RouteReports>(),
    /** The ids of the secrets with which it verifies tokens; null when it has not said. */
    jwtKeys: text("jwt_keys", { mode: "json" }).$type<string[]>(),
    registeredAt: integer("registered_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.workerId, t.nodeId] })],
);

/** Ports that a living node says it can't open now: another process of its machine has them. */
export const blockedPorts = sqliteTable(
  "blocked_ports",
  {
    workerId: text("worker_id").notNull(),
    nodeId: text("node_id").notNull(),
    port: integer("port").notNull(),
    since: integer("since").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.workerId, t.port, t.nodeId] }),
    // They go with the node: the next one learns of them anew.
    foreignKey({ columns: [t.workerId, t.nodeId], foreignColumns: [nodes.workerId, nodes.nodeId] }).onDelete("cascade"),
  ],
);

export const appFilters = sqliteTable(
  "app_filters",
  {
    workerId: text("worker_id")
      .notNull()
      .references(() => workers.id, { onDelete: "cascade" }),
    key: text("key").notNull(),
    value: text("value").notNull(),
  },
  (t) => [primaryKey({ columns: [t.workerId, t.key, t.value] })],
);

/** Ports of a worker's range that carry no circuit; handed out least-recently-used first (0: never used). */
export const freePorts = sqliteTable(
  "free_ports",
  {
    workerId: text("worker_id")
      .notNull()
      .references(() => workers.id, { onDelete: "cascade" }),
    port: integer("port").notNull(),
    releasedAt: integer("released_at").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.workerId, t.port] }),
    index("free_ports_order").on(t.workerId, t.releasedAt, t.port),
  ],
);

/**
 * Who had a slot, as browsers know it: a host and a port, or a name under a wildcard domain with port 0. It outlives
 * circuits and workers, for what an app leaves in browsers does too.
 */
export const usedSlots = sqliteTable(
  "used_slots",
  {
    host: text("host").notNull(),
    port: integer("port").notNull(),
    /** The last one; empty for a circuit without a user. */
    userId: text("user_id").notNull(),
    /** More than one person has had it. */
    isShared: integer("is_shared", { mode: "boolean" }).notNull().default(false),
    usedAt: integer("used_at").notNull(),
    /** Whose app had a service worker's script fetched, and when last; null for nobody's. */
    serviceWorkerUser: text("service_worker_user"),
    serviceWorkerAt: integer("service_worker_at"),
  },
  (t) => [
    primaryKey({ columns: [t.host, t.port] }),
    index("used_slots_service_workers")
      .on(t.host, t.port)
      .where(sql`service_worker_user IS NOT NULL`),
    index("used_slots_registrar")
      .on(t.serviceWorkerUser, t.serviceWorkerAt)
      .where(sql`service_worker_user IS NOT NULL AND port <> 0`),
  ],
);

export const circuits = sqliteTable(
  "circuits",
  {
    id: text("id").primaryKey(),
    workerId: text("worker_id")
      .notNull()
      .references(() => workers.id),
    app: text("app").notNull(),
    protocol: text("protocol").$type<ProxyProtocol>().notNull(),
    appMode: text("app_mode").$type<AppMode>().notNull(),
    frontendMode: text("frontend_mode").$type<FrontendMode>().notNull(),
    port: integer("port"),
    subdomain: text("subdomain"),
    envs: text("envs", { mode: "json" }).$type<Record<string, unknown>>().notNull(),
    arguments: text("arguments"),
    openToPublic: integer("open_to_public", { mode: "boolean" }).notNull(),
    allowedClientIps: text("allowed_client_ips"),
    /** Whose pages may call it with credentials, comma-separated; null for nobody's but its own. */
    allowedOrigins: text("allowed_origins"),
    userId: text("user_id"),
    endpointId: text("endpoint_id"),
    runtimeVariant: text("runtime_variant"),
    /** How its kernels are probed; null for not at all. */
    healthCheck: text("health_check", { mode: "json" }).$type<HealthCheck>(),
    routeInfo: text("route_info", { mode: "json" }).$type<Route[]>().notNull(),
    /** As received with the request that created it; null when there was none. Never made up. */
    originRequestId: text("origin_request_id"),
    revision: integer("revision").notNull(),
    /** When a node of its worker first said that it serves it; from then on people may be using it. */
    acknowledgedAt: integer("acknowledged_at"),
    /** The newest revision of it that a node said it serves. */
    acknowledgedRevision: integer("acknowledged_revision"),
    /** When it was last known to be in use or asked for, within a tenth of the time after which it is collected. */
    usedAt: integer("used_at").notNull().default(0),
    /** What Redis said of its last use when `used_at` was noted, epoch seconds: by the worker's clock, only compared. */
    lastAccess: real("last_access"),
    /** When it came to a slot that another person's app had before (occupants.ts); null where nobody else's was there. */
    recycledAt: integer("recycled_at"),
    /** A service worker of somebody else's app may be on its slot. */
    blocksServiceWorkers: integer("blocks_service_workers", { mode: "boolean" }).notNull().default(false),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (t) => [
    uniqueIndex("circuits_port").on(t.workerId, t.port),
    uniqueIndex("circuits_subdomain").on(t.workerId, t.subdomain),
    index("circuits_order").on(t.createdAt, t.id),
    index("circuits_revision").on(t.workerId, t.revision),
    index("circuits_origin").on(t.originRequestId),
    uniqueIndex("circuits_endpoint").on(t.endpointId),
    index("circuits_user").on(t.userId, t.appMode),
  ],
);

/** Where circuits lead to: `route_info` by session and by kernel. */
export const circuitRoutes = sqliteTable(
  "circuit_routes",
  {
    circuitId: text("circuit_id")
      .notNull()
      .references(() => circuits.id, { onDelete: "cascade" }),
    sessionId: text("session_id").notNull(),
    kernelHost: text("kernel_host").notNull(),
    kernelPort: integer("kernel_port").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.circuitId, t.sessionId, t.kernelHost, t.kernelPort] }),
    index("circuit_routes_session").on(t.sessionId),
    index("circuit_routes_kernel").on(t.kernelHost, t.kernelPort),
  ],
);

/** Permissions of `POST /v2/conf`: whoever holds one may open circuits to that kernel until it expires. */
export const tokens = sqliteTable(
  "tokens",
  {
    id: text("id").primaryKey(),
    loginSessionToken: text("login_session_token"),
    kernelHost: text("kernel_host").notNull(),
    kernelPort: integer("kernel_port").notNull(),
    sessionId: text("session_id").notNull(),
    userId: text("user_id").notNull(),
    projectId: text("project_id"),
    accessKey: text("access_key").notNull(),
    domainName: text("domain_name"),
    originRequestId: text("origin_request_id"),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (t) => [
    index("tokens_expiry").on(t.expiresAt),
    index("tokens_session").on(t.sessionId),
    index("tokens_kernel").on(t.kernelHost, t.kernelPort),
  ],
);

/** `withdrawn`: removed because no worker has ever acknowledged it. */
export type ChangeKind = "created" | "removed" | "withdrawn" | "routes";

/** What happened to a worker's circuits, in order; events are published from here, so that a crash loses none. */
export const changes = sqliteTable(
  "changes",
  {
    id: integer("id").primaryKey({ autoIncrement: true }),
    workerId: text("worker_id")
      .notNull()
      .references(() => workers.id, { onDelete: "cascade" }),
    revision: integer("revision").notNull(),
    kind: text("kind").$type<ChangeKind>().notNull(),
    circuitId: text("circuit_id").notNull(),
    /** The circuit as it was then: a removed one can be told of only from here. */
    circuit: text("circuit", { mode: "json" }).$type<Circuit>().notNull(),
    /** The request that caused the change. */
    requestId: text("request_id"),
    createdAt: integer("created_at").notNull(),
    publishedAt: integer("published_at"),
  },
  (t) => [
    uniqueIndex("changes_revision").on(t.workerId, t.revision),
    index("changes_unpublished").on(t.publishedAt, t.id),
  ],
);

/** Periodic work that only one of several coordinators does; it is its until the time runs out. */
export const leases = sqliteTable("leases", {
  name: text("name").primaryKey(),
  holder: text("holder").notNull(),
  until: integer("until").notNull(),
});
