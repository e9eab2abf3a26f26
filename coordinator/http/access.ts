/**
 * The `access` macro of every route: who may call it, checked before the request is validated
 * (a hook that runs later would show a stranger the schema). Also decodes the body and reads queries.
 */
import { Elysia } from "elysia";
import type { TSchema } from "@sinclair/typebox";
import { isRecord } from "../../shared/values.ts";
import { Failure } from "../../shared/failure.ts";
import { snakeKeys, USERS_OWN } from "../../shared/compat/keys.ts";
import type { Authenticator } from "./auth.ts";
import { RawBody } from "./body.ts";
import { ownForms, ownFormsIn } from "./lenient.ts";
import { peerOf, type PeerSource } from "./peer.ts";
import { readQuery } from "./query.ts";
import { shown } from "./validation.ts";

/** `worker`: workers' calls, which a worker's own secret opens too. */
export type Access = "public" | "api" | "worker" | "manager";

export const SECURITY = {
  public: [],
  api: [{ token: [] }, { jwt: [] }],
  worker: [{ worker: [] }, { token: [] }, { jwt: [] }],
  manager: [{}, { token: [] }, { jwt: [] }],
} satisfies Record<Access, Record<string, never[]>[]>;

interface Call {
  request: Request;
  server: PeerSource | null;
  body: unknown;
  query: Record<string, unknown>;
  params?: Record<string, unknown>;
  /** The worker whose own secret the caller has; null for who has another, or none. */
  caller?: string | null;
}

/**
 * `access` names who may call; `asked` is the schema of the query, whose texts become values of its types; `withoutBody` is what a
 * call without a body means. A route names them in this order: nothing is told to a stranger.
 */
export function accessPlugin(authenticator: Authenticator) {
  return new Elysia({ name: "access" }).macro({
    access: (access: Access) => ({
      detail: { security: SECURITY[access] },
      transform: async (context: unknown) => {
        // Elysia types the context of each route; the macro needs only what all have.
        const call = context as Call;
        if (access === "api") await authenticator.api(call.request.headers);
        if (access === "worker") call.caller = await authenticator.worker(call.request.headers);
        if (access === "manager") await authenticator.manager(call.request.headers, peerOf(call.request, call.server));
        ownFormsIn(call.params ?? {});
        ownFormsIn(call.query);
        // No body at all is for the route's schema to judge: a DELETE has none, an old worker's heartbeat neither.
        // Older callers write keys with hyphens.
        if (call.body instanceof RawBody) call.body = call.body.text.trim() === "" ? undefined : readBody(call.body);
      },
    }),
    asked: (schema: TSchema) => ({
      transform: (context: unknown) => {
        const call = context as Call;
        call.query = readQuery(schema, call.query);
      },
    }),
    // Before the schema is looked at: its defaults would make an object of nothing.
    withoutBody: (means: "an empty one" | "a fault") => ({
      transform: (context: unknown) => {
        const call = context as Call;
        if (call.body !== undefined) return;
        if (means === "a fault") throw new Failure("invalid-api-params", "body: wanted an object, got nothing");
        call.body = {};
      },
    }),
  });
}

export type AccessPlugin = ReturnType<typeof accessPlugin>;

// --- internal ---

/** All bodies are objects. Throws invalid-api-params here, because defaults in a schema would make an object of a list. */
function readBody(body: RawBody): unknown {
  const value = ownForms(snakeKeys(body.decode(), USERS_OWN), USERS_OWN);
  if (isRecord(value)) return value;
  throw new Failure("invalid-api-params", `body: wanted an object, got ${shown("body", value)}`);
}
