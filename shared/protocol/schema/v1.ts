/** Answers of the first version of the API, which some callers still ask for. */
import { Type, type Static } from "@sinclair/typebox";
import { nullable, PortNumber, Uuid } from "./basics.ts";

const Time = Type.String({ format: "date-time" });

/** `GET /v1/api/slots`: one entry a circuit. */
export const SlotsV1 = Type.Array(
  Type.Object({
    rel: Uuid,
    port: nullable(PortNumber),
    subdomain: nullable(Type.String()),
    wsproxy_version: Type.String(),
    worker__authority: Type.String(),
    circuit__app: Type.String(),
    circuit__session_id: nullable(Uuid),
    circuit__open_to_public: Type.Boolean(),
    circuit__allowed_client_ips: nullable(Type.String()),
    circuit__envs: nullable(Type.String({ description: "A JSON object." })),
    circuit__arguments: nullable(Type.String()),
    circuit__created: Time,
    circuit__modified: Time,
  }),
);
export type SlotsV1 = Static<typeof SlotsV1>;

/** `GET /v1/api/worker`. */
export const WorkersV1 = Type.Array(
  Type.Object({
    authority: Type.String(),
    endpoint: Type.String({ description: "Its own API." }),
    total_slots: Type.Integer({ description: "-1 in wildcard mode." }),
    ports_in_use: Type.Integer(),
    min_range: nullable(PortNumber),
    max_range: nullable(PortNumber),
    wildcard_domain: nullable(Type.String()),
    created: Time,
    updated: Time,
  }),
);
export type WorkersV1 = Static<typeof WorkersV1>;
