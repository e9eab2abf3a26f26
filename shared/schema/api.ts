/** Bodies and queries of the Manager's and the user's calls to the coordinator. */
import { Type, type Static } from "@sinclair/typebox";
import { Dictionary, nullable, PortNumber, Protocol, Uuid } from "./circuit.ts";

const Text = Type.String({ minLength: 1, maxLength: 255 });

/** The session a token is for. `project_id` and `group_id` are two names of one thing. */
export const SessionInfo = Type.Object({
  id: Uuid,
  user_uuid: Uuid,
  project_id: Type.Optional(nullable(Uuid)),
  group_id: Type.Optional(nullable(Uuid)),
  access_key: Text,
  domain_name: Type.Optional(nullable(Type.String({ maxLength: 255 }))),
});

/** Body of `POST /v2/conf`. */
export const ConfRequest = Type.Object({
  login_session_token: Type.Optional(nullable(Type.String({ maxLength: 4096 }))),
  kernel_host: Text,
  kernel_port: PortNumber,
  session: SessionInfo,
});
export type ConfRequest = Static<typeof ConfRequest>;

export const ConfAnswer = Type.Object({ token: Uuid });

/** What a person may ask of a circuit. */
export const ProxyWish = Type.Object({
  app: Text,
  protocol: Protocol,
  envs: Type.Optional(nullable(Dictionary)),
  args: Type.Optional(nullable(Type.String({ maxLength: 8192 }))),
  open_to_public: Type.Optional(nullable(Type.Boolean())),
  allowed_client_ips: Type.Optional(
    nullable(Type.String({ maxLength: 8192, description: "Comma-separated addresses and CIDR ranges." })),
  ),
  redirect: Type.Optional(nullable(Type.String({ maxLength: 2048, description: "Path of the app to open." }))),
  no_reuse: Type.Optional(nullable(Type.Boolean())),
  port: Type.Optional(nullable(PortNumber)),
  subdomain: Type.Optional(nullable(Type.String({ maxLength: 255 }))),
});
export type ProxyWish = Static<typeof ProxyWish>;

/** Query or body of `/v2/proxy/auth`. */
export const ProxyRequest = Type.Composite([ProxyWish, Type.Object({ token: Uuid, session_id: Uuid })]);
export type ProxyRequest = Static<typeof ProxyRequest>;

export const AddAnswer = Type.Object({ code: Type.Literal(200), url: Type.String({ format: "uri" }) });

export const ProxyAnswer = Type.Object({
  redirect_url: Type.String({ description: "The worker's /setup, to be opened by the person." }),
  reuse: Type.Boolean(),
  token: Type.String({ description: "The setup token in redirect_url." }),
  circuit_id: Uuid,
});
export type ProxyAnswer = Static<typeof ProxyAnswer>;

export const Success = Type.Object({ success: Type.Boolean() });

export const ProblemSchema = Type.Object({
  type: Type.String(),
  title: Type.String(),
  error_code: Type.String(),
  msg: Type.Optional(Type.String()),
  data: Type.Optional(Type.Unknown()),
});
