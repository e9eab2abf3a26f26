/**
 * The `access` macro of every route: who may call it, checked before the request is validated
 * (a hook that runs later would show a stranger the schema). Also decodes the body and reads queries.
 */
import { Elysia } from "elysia";
import type { TSchema } from "@sinclair/typebox";
import { snakeKeys, USERS_OWN } from "../shared/keys.ts";
import type { Authenticator } from "./auth.ts";
import { RawBody } from "./body.ts";
import { readQuery } from "./query.ts";

export type Access = "public" | "api" | "manager";

export const SECURITY = {
  public: [],
  api: [{ token: [] }, { jwt: [] }],
  manager: [{}, { token: [] }, { jwt: [] }],
} satisfies Record<Access, Record<string, never[]>[]>;

interface Call {
  request: Request;
  server: { requestIP(request: Request): { address: string } | null } | null;
  body: unknown;
  query: Record<string, unknown>;
}

/** `access` names who may call; `asked` is the schema of the query, whose texts become values of its types. */
export function accessPlugin(authenticator: Authenticator) {
  return new Elysia({ name: "access" }).macro({
    access: (access: Access) => ({
      detail: { security: SECURITY[access] },
      transform: async (context: unknown) => {
        // Elysia types the context of each route; the macro needs only what all have.
        const call = context as Call;
        if (access === "api") await authenticator.api(call.request.headers);
        if (access === "manager") await authenticator.manager(call.request.headers, peer(call));
        // No body at all is for the route's schema to judge: a DELETE has none, an old worker's heartbeat neither.
        // Older callers write keys with hyphens.
        if (call.body instanceof RawBody)
          call.body = call.body.text.trim() === "" ? undefined : snakeKeys(call.body.decode(), USERS_OWN);
      },
    }),
    asked: (schema: TSchema) => ({
      transform: (context: unknown) => {
        const call = context as Call;
        call.query = readQuery(schema, call.query);
      },
    }),
  });
}

export type AccessPlugin = ReturnType<typeof accessPlugin>;

// --- internal ---

function peer(call: Call): string | null {
  return call.server?.requestIP(call.request)?.address ?? null;
}
