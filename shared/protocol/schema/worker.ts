/** Workers as they register and as the coordinator shows them. */
import { Type, type Static } from "@sinclair/typebox";
import { nullable, PortNumber, Protocol, Uuid } from "./basics.ts";
import { AppModeSchema, Circuit, FrontendModeSchema } from "./circuit.ts";
import { RouteReports } from "./health.ts";

/** The facts about a session or endpoint that an app filter can name. */
export const FILTER_KEYS = [
  "session.id",
  "session.user_uuid",
  "session.project_id",
  "session.access_key",
  "session.domain_name",
  "endpoint.id",
  "endpoint.runtime_variant",
  "endpoint.existing_url",
] as const;
export type FilterKey = (typeof FILTER_KEYS)[number];

export const AppFilter = Type.Object({ key: Type.String({ minLength: 1 }), value: Type.String() });
export type AppFilter = Static<typeof AppFilter>;

const NODE_ID = "^[A-Za-z0-9._:-]+$";
export const NodeId = Type.String({ minLength: 1, maxLength: 128, pattern: NODE_ID });

/** In registrations and heartbeats, of each node. */
const JwtKeys = Type.Optional(
  nullable(
    Type.Array(Type.String({ pattern: "^[0-9a-f]{8}$" }), {
      maxItems: 32,
      description:
        "Ids of the secrets with which this node verifies tokens: a token is signed with one that all nodes know.",
    }),
  ),
);

/** Body of `PUT /api/worker`. `node_id`, `supersedes` and `jwt_keys` are ours; the original's workers do not send them. */
export const WorkerRegistration = Type.Object(
  {
    authority: Type.String({ minLength: 1, maxLength: 255 }),
    frontend_mode: FrontendModeSchema,
    protocol: Protocol,
    hostname: Type.String({ minLength: 1, maxLength: 255 }),
    tls_listen: Type.Boolean({ default: false }),
    tls_advertised: Type.Boolean({ default: false }),
    api_port: PortNumber,
    port_range: Type.Optional(
      nullable(Type.Array(PortNumber, { minItems: 2, maxItems: 2, description: "First and last port." })),
    ),
    wildcard_domain: Type.Optional(nullable(Type.String({ minLength: 2, description: "Starts with a dot." }))),
    wildcard_traffic_port: Type.Optional(nullable(PortNumber)),
    accepted_traffics: Type.Array(AppModeSchema, { minItems: 1 }),
    filtered_apps_only: Type.Boolean({ default: false }),
    app_filters: Type.Optional(Type.Array(AppFilter, { maxItems: 1000 })),
    traefik_last_used_marker_path: Type.Optional(nullable(Type.String())),
    node_id: Type.Optional(nullable(NodeId)),
    jwt_keys: JwtKeys,
    supersedes: Type.Optional(
      nullable(
        Type.String({
          minLength: 1,
          maxLength: 128,
          pattern: NODE_ID,
          description:
            "The living node whose place this one takes: what it says may differ from what that one has said.",
        }),
      ),
    ),
  },
  {
    // Sent as it is it harms nobody: no worker is called so, and it takes no app.
    example: {
      authority: "worker-of-the-example",
      frontend_mode: "port",
      protocol: "http",
      hostname: "apps.example.com",
      tls_listen: false,
      tls_advertised: true,
      api_port: 20201,
      port_range: [20205, 20300],
      accepted_traffics: ["interactive"],
      filtered_apps_only: true,
      app_filters: [],
      node_id: "node-of-the-example",
    },
  },
);
export type WorkerRegistration = Static<typeof WorkerRegistration>;

/** See shared/protocol/digest.ts. */
const Digest = Type.Integer({
  minimum: 0,
  description:
    "XOR over the circuits of the lowest 52 bits of xxHash64(`<id> <revision> <updated_at>`); the same on both sides.",
});

/** Body of the heartbeat; the original's workers send none. */
export const Heartbeat = Type.Object(
  {
    node_id: Type.Optional(nullable(NodeId)),
    jwt_keys: JwtKeys,
    revision: Type.Optional(nullable(Type.Integer({ minimum: 0 }))),
    digest: Type.Optional(nullable(Digest)),
    usage_delayed: Type.Optional(
      nullable(Type.Boolean({ description: "Users' activity could not be written to Redis yet." })),
    ),
    routes: Type.Optional(nullable(RouteReports)),
    blocked_ports: Type.Optional(
      nullable(
        Type.Array(PortNumber, {
          maxItems: 65_535,
          description: "All ports of its range, as seen from outside, that this node can't open now.",
        }),
      ),
    ),
    slots: Type.Optional(
      Type.Boolean({
        default: true,
        description: "Whether the answer lists the slots: it is long when there are many.",
      }),
    ),
  },
  { example: { node_id: "node-1", revision: 42, digest: 1_125_899_906_842_597, slots: false } },
);
export type Heartbeat = Static<typeof Heartbeat>;

export const Slot = Type.Object({
  frontend_mode: FrontendModeSchema,
  in_use: Type.Boolean(),
  port: nullable(PortNumber),
  subdomain: nullable(Type.String()),
  circuit_id: nullable(Uuid),
  service_worker_of: Type.Optional(
    Type.String({
      description:
        "The user whose app has registered a service worker there: nobody else gets the slot. `*`: of several.",
    }),
  ),
  blocked: Type.Optional(
    Type.Boolean({
      description: "A node can't open it: another process of its machine has it. No new circuit gets it.",
    }),
  ),
});
export type Slot = Static<typeof Slot>;

export const Worker = Type.Object({
  id: Uuid,
  authority: Type.String(),
  frontend_mode: FrontendModeSchema,
  protocol: Protocol,
  hostname: Type.String(),
  tls_listen: Type.Boolean(),
  tls_advertised: Type.Boolean(),
  api_port: PortNumber,
  port_range: nullable(Type.Array(PortNumber)),
  wildcard_domain: nullable(Type.String()),
  wildcard_traffic_port: nullable(PortNumber),
  accepted_traffics: Type.Array(AppModeSchema),
  filtered_apps_only: Type.Boolean(),
  app_filters: Type.Array(AppFilter),
  traefik_last_used_marker_path: nullable(Type.String()),
  status: Type.Union([Type.Literal("ALIVE"), Type.Literal("LOST"), Type.Literal("TERMINATED")]),
  created_at: Type.String({ format: "date-time" }),
  updated_at: Type.String({ format: "date-time" }),
  available_slots: Type.Integer({ description: "-1 in wildcard mode." }),
  occupied_slots: Type.Integer(),
  blocked_slots: Type.Integer({ description: "Ports that a node can't open now." }),
  nodes: Type.Integer({ description: "Nodes with a live lease." }),
  revision: Type.Integer({ description: "Grows by one with each change of its circuits." }),
  digest: Digest,
  slots: Type.Array(Slot),
});
export type Worker = Static<typeof Worker>;

/** What workers are told with each answer. */
const told = {
  home_url: Type.Optional(
    nullable(Type.String({ description: "Where people open apps: the worker's error pages lead back there." })),
  ),
};

/** Answer of the registration. */
export const RegisteredWorker = Type.Object({ ...Worker.properties, ...told });
export type RegisteredWorker = Static<typeof RegisteredWorker>;

/** Answer of the heartbeat. */
export const HeartbeatAnswer = Type.Object({ ...Worker.properties, ...told, slots: Type.Optional(Type.Array(Slot)) });
export type HeartbeatAnswer = Static<typeof HeartbeatAnswer>;

/** Query of `GET /api/slots`. */
export const SlotQuery = Type.Object({
  wsproxy_host: Type.Optional(Type.String({ description: "A worker's authority or id." })),
  in_use: Type.Optional(Type.Boolean({ default: true, description: "Only those that carry a circuit." })),
});

export const WorkerList = Type.Object({ workers: Type.Array(Worker) });
export const SlotList = Type.Object({ slots: Type.Array(Slot) });

/** Body of `POST /api/worker/{id}/service-workers`: on which of its slots apps have had a service worker's script fetched. */
export const ServiceWorkers = Type.Object(
  {
    slots: Type.Array(
      Type.Object({ port: nullable(PortNumber), subdomain: nullable(Type.String()), user_id: nullable(Uuid) }),
      { maxItems: 10_000 },
    ),
  },
  { example: { slots: [{ port: 10205, subdomain: null, user_id: "f38dea23-50fa-42a0-b5ae-338f5f4693f4" }] } },
);
export type ServiceWorkers = Static<typeof ServiceWorkers>;

/** Query of `DELETE /api/worker/{id}`: the node that leaves. */
export const LeaveQuery = Type.Object({ node_id: Type.Optional(NodeId) });

/** Query of `GET /api/worker/{id}/circuits`: what the node has. The original's workers send none, and get everything. */
export const CircuitsQuery = Type.Object({
  since: Type.Optional(Type.Integer({ minimum: 0, description: "The revision that is known." })),
  epoch: Type.Optional(Type.String({ maxLength: 128, description: "Of the database that it is of." })),
  node_id: Type.Optional(NodeId),
});

/**
 * Answer of `GET /api/worker/{id}/circuits`. With `since` it is what has changed since then: `circuits` are new or in
 * another state, `removed` are gone. Without it, it is everything. All but `circuits` is ours.
 */
export const WorkerCircuits = Type.Object({
  circuits: Type.Array(Circuit),
  removed: Type.Optional(Type.Array(Uuid)),
  since: Type.Optional(Type.Integer()),
  revision: Type.Optional(Type.Integer()),
  epoch: Type.Optional(Type.String()),
  digest: Type.Optional(Digest),
});
export type WorkerCircuits = Static<typeof WorkerCircuits>;
