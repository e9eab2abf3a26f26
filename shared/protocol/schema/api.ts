/** Bodies and queries of the Manager's and the user's calls to the coordinator. */
import { Type, type Static } from "@sinclair/typebox";
import { Dictionary, nullable, PortNumber, Protocol, Uuid } from "./basics.ts";
import { Circuit, Route } from "./circuit.ts";

const Text = Type.String({ minLength: 1, maxLength: 255 });

const SESSION_ID = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
const SESSION_EXAMPLE = {
  id: SESSION_ID,
  user_uuid: "f38dea23-50fa-42a0-b5ae-338f5f4693f4",
  project_id: "2de2b969-1d04-48a6-af16-0bc8adb3c831",
  access_key: "AKIAIOSFODNN7EXAMPLE",
  domain_name: "default",
};

/**
 * The session a token is for. `project_id` and `group_id` are two names of one thing. Without session id or access key it
 * is a model service: coordinator/tokens refuses that.
 */
export const SessionInfo = Type.Object({
  id: Type.Optional(nullable(Uuid)),
  user_uuid: Uuid,
  project_id: Type.Optional(nullable(Uuid)),
  group_id: Type.Optional(nullable(Uuid)),
  access_key: Type.Optional(nullable(Type.String({ maxLength: 255 }))),
  domain_name: Type.Optional(nullable(Type.String({ maxLength: 255 }))),
});

/** Body of `POST /v2/conf`. */
export const ConfRequest = Type.Object(
  {
    login_session_token: Type.Optional(nullable(Type.String({ maxLength: 4096 }))),
    kernel_host: Text,
    kernel_port: PortNumber,
    session: SessionInfo,
  },
  { example: { login_session_token: null, kernel_host: "10.0.3.17", kernel_port: 8888, session: SESSION_EXAMPLE } },
);
export type ConfRequest = Static<typeof ConfRequest>;

export const ConfAnswer = Type.Object({ token: Uuid });

/** What a person may ask of a circuit. */
export const CircuitSpec = Type.Object({
  app: Text,
  protocol: Protocol,
  envs: Type.Optional(
    nullable(Type.Union([Dictionary, Type.String({ maxLength: 65_536, description: "The same as JSON text." })])),
  ),
  args: Type.Optional(nullable(Type.String({ maxLength: 8192 }))),
  open_to_public: Type.Optional(nullable(Type.Boolean())),
  allowed_client_ips: Type.Optional(
    nullable(Type.String({ maxLength: 8192, description: "Comma-separated addresses and CIDR ranges." })),
  ),
  allowed_origins: Type.Optional(
    nullable(
      Type.String({
        maxLength: 8192,
        description:
          "Comma-separated origins whose pages may call the app with the person's cookies, such as those of another app of " +
          "the session. Left out, a circuit that is there keeps its own; empty takes them away.",
        example: "http://apps.example.com:10206",
      }),
    ),
  ),
  redirect: Type.Optional(
    nullable(Type.String({ maxLength: 2048, description: "Path of the app to open: `/lab` or `lab`." })),
  ),
  no_reuse: Type.Optional(nullable(Type.Boolean())),
  port: Type.Optional(nullable(PortNumber)),
  subdomain: Type.Optional(nullable(Type.String({ maxLength: 255 }))),
});
export type CircuitSpec = Static<typeof CircuitSpec>;

/** Query or body of `/v2/proxy/auth`. */
export const ProxyRequest = Type.Composite([CircuitSpec, Type.Object({ token: Uuid, session_id: Uuid })], {
  example: {
    token: "8d2a9f3e-7a61-4b6e-9f5d-1b1c8b7a6d5e",
    session_id: SESSION_ID,
    app: "jupyter",
    protocol: "http",
    redirect: "/lab",
  },
});
export type ProxyRequest = Static<typeof ProxyRequest>;

export const AddAnswer = Type.Object({ code: Type.Literal(200), url: Type.String({ format: "uri" }) });
export type AddAnswer = Static<typeof AddAnswer>;

export const ProxyAnswer = Type.Object({
  redirect_url: Type.String({ description: "The worker's /setup, to be opened by the person." }),
  reuse: Type.Boolean(),
  token: Type.String({ description: "The setup token in redirect_url." }),
  circuit_id: Uuid,
});
export type ProxyAnswer = Static<typeof ProxyAnswer>;

/** The platform's request id; checked by coordinator/http/request-id.ts, which refuses no request for it. */
export const RequestIdHeader = Type.Object({
  "x-backend-request-id": Type.Optional(
    Type.String({ description: "Recorded as origin_request_id; never made up.", example: "req-2f6c1e0a" }),
  ),
});

/** Query of `/v2/proxy/{token}/{session_id}/delete`. */
export const CloseQuery = Type.Object({ app: Type.String({ minLength: 1 }) });

/** Answer of `GET /status`. */
export const WhereaboutsAnswer = Type.Object({ api_version: Type.Literal("v2"), advertise_address: Type.String() });

/** Query of `GET /api/circuits`. */
export const CircuitQuery = Type.Object({
  origin_request_id: Type.Optional(Type.String({ description: "As received in X-Backend-Request-ID." })),
  session_id: Type.Optional(Uuid),
  app: Type.Optional(Type.String()),
  worker: Type.Optional(Type.String({ description: "A worker's id or authority." })),
  port: Type.Optional(PortNumber),
  subdomain: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  host: Type.Optional(
    Type.String({
      description: "A worker's host, or an app's name under a wildcard domain; perhaps with its port.",
      minLength: 1,
      maxLength: 261,
    }),
  ),
  user_id: Type.Optional(Uuid),
  kernel: Type.Optional(
    Type.String({ description: "A kernel's host, perhaps with its port.", minLength: 1, maxLength: 261 }),
  ),
  created_after: Type.Optional(Type.String({ maxLength: 64, description: "Made at this time (RFC 3339) or later." })),
  created_before: Type.Optional(Type.String({ maxLength: 64, description: "Made before this time (RFC 3339)." })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  after: Type.Optional(Type.String({ description: "`next` of the page before, or a circuit's id.", maxLength: 64 })),
});

export const CircuitPage = Type.Object({
  circuits: Type.Array(Circuit),
  next: nullable(Type.String({ description: "Pass as `after` for the next page." })),
});

/** Body of `DELETE /api/circuit/_/bulk`; the same may be asked as a query. */
export const CircuitIds = Type.Optional(
  Type.Object(
    {
      circuit_ids: Type.Optional(
        Type.Union([
          Type.Array(Type.String({ maxLength: 64 }), { maxItems: 10_000 }),
          Type.String({ description: "Ids with commas." }),
        ]),
      ),
    },
    { example: { circuit_ids: [SESSION_ID] } },
  ),
);

/** Query of `DELETE /api/circuit/_/bulk`, in the place of a body. */
export const CircuitIdsQuery = Type.Object({
  circuit_ids: Type.Optional(Type.String({ description: "Ids with commas." })),
});

/** Answer of `GET /api/circuit/{id}/statistics`. */
export const CircuitStatistics = Type.Composite([
  Circuit,
  Type.Object({
    requests: Type.Integer(),
    last_access: nullable(Type.Integer({ description: "Milliseconds since the epoch." })),
    ttl: nullable(Type.Integer({ description: "Seconds until it may be collected; null for model services." })),
  }),
]);
export type CircuitStatistics = Static<typeof CircuitStatistics>;

/** Body of `POST /api/circuit/{id}/refused`: what a node of the circuit's worker has found. */
export const RefusedReport = Type.Object(
  {
    revision: Type.Integer({ minimum: 0, description: "Of the circuit, as the node knows it." }),
    routes: Type.Array(Type.Pick(Route, ["route_id", "session_id", "kernel_host", "kernel_port"]), {
      maxItems: 10_000,
    }),
  },
  {
    example: {
      revision: 42,
      routes: [{ route_id: null, session_id: SESSION_ID, kernel_host: "10.0.3.17", kernel_port: 8888 }],
    },
  },
);
export type RefusedReport = Static<typeof RefusedReport>;

export const RefusedAnswer = Type.Object({
  success: Type.Boolean(),
  ended: Type.Integer({ description: "How many of the routes were ended; the others have changed since." }),
});

export const Success = Type.Object({ success: Type.Boolean() });

export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    error_code: Type.String(),
    msg: Type.Optional(Type.String()),
    data: Type.Optional(Type.Unknown()),
  },
  {
    example: {
      type: "https://api.backend.ai/probs/invalid-api-params",
      title: "Missing or invalid API parameters.",
      error_code: "agent_request_invalid-parameters",
      msg: "kernel_port: wanted an integer from 1 to 65535, got 0",
    },
  },
);
