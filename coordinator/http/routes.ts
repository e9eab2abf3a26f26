/**
 * Routes made from the operations of the API (shared/protocol/operations.ts): path, parameters, schemas and the document come
 * from there, so that server and client can't differ. A feature's api.ts says who may call, what can go wrong, and what it does.
 */
import type { Static, TOptional, TSchema } from "@sinclair/typebox";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Log } from "../../shared/runtime/log.ts";
import { RequestIdHeader } from "../../shared/protocol/schema/api.ts";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import type { Operation, Parameter } from "../../shared/protocol/operations.ts";
import type { Access, AccessPlugin } from "./access.ts";
import { documented, models, nameOf } from "./models.ts";
import { isForPeople } from "./cors.ts";
import { BODY_IS_OPTIONAL, IS_FOR_PEOPLE, MAY_REDIRECT } from "./openapi.ts";
import { peerOf, type PeerSource } from "./peer.ts";
import { requestIdentity } from "./request-id.ts";
import type { Caller } from "../store/store.ts";

type Body<S> = S extends TOptional<TSchema> ? Static<S> | undefined : S extends TSchema ? Static<S> : undefined;

/** A call as its handler gets it: checked, with the types of its operation. */
export interface Call<O extends Operation> {
  params: { [Name in Parameter<O["path"]>]: string };
  query: O["query"] extends TSchema ? Static<O["query"]> : Record<string, never>;
  body: Body<O["body"]>;
  request: Request;
  /** The address of the caller's end of the connection. */
  readonly peer: string | null;
  /** The authority of the worker whose own secret the call came with; null where it had another, which speaks for all. */
  caller: string | null;
  /** Who calls. A request id that may not be kept is null, which the log is told of each time this is read. */
  readonly by: Caller;
  /** Answers with another status than 200. */
  status: (code: number) => void;
}

/** What an operation does not say of itself. */
export interface About {
  access: Access;
  summary: string;
  description?: string;
  /** The failures that may be answered, besides those that follow from its method (`failuresOf`); all are problem documents. */
  failures?: readonly (400 | 401 | 403 | 404 | 409 | 421 | 429 | 503)[];
  /** Other statuses with which the good answer comes. */
  also?: readonly number[];
  /** It may send its caller on (302) instead. */
  redirects?: true;
  /** It only reads, though its method is not GET. */
  onlyReads?: true;
  /** The request id is recorded with what the call does. */
  keepsRequestId?: true;
  /** What a call without a body means, where the schema does not say it. */
  withoutBody?: "allowed" | "an empty one" | "a fault";
}

/** One route. Made by `route`, served by `plugin`. */
export interface Route {
  operation: Operation;
  about: About;
  handle: (call: Call<Operation>) => unknown;
}

/** What a call of an operation does: the answer, or a response of its own. */
export function route<O extends Operation>(
  operation: O,
  about: About,
  handle: (call: Call<O>) => Static<O["answer"]> | Response | Promise<Static<O["answer"]> | Response>,
): Route {
  return { operation, about, handle };
}

/** The routes of a feature under one heading of the document. */
export function plugin(access: AccessPlugin, tag: string, routes: readonly Route[], log: Log): Elysia {
  const app = new Elysia({ name: tag }).use(access).use(models);
  for (const { operation, about, handle } of routes) {
    const answer = (context: Context) => handle(callOf(context, log));
    app.route(operation.method, operation.path.replaceAll(/\{(\w+)\}/g, ":$1"), answer, hookOf(operation, about, tag));
  }
  return app as unknown as Elysia;
}

// --- internal ---

/** What is used of Elysia's context; its types follow from chains of routes that are written out. */
interface Context {
  params: Record<string, string>;
  query: Record<string, string>;
  body: unknown;
  request: Request;
  server: PeerSource | null;
  caller?: string | null;
  set: { status?: number | string };
}

function callOf({ params, query, body, request, server, caller = null, set }: Context, log: Log): Call<Operation> {
  return {
    params,
    // What they are is known to the route's own handler.
    query: query as never,
    body,
    request,
    caller,
    get peer() {
      return peerOf(request, server);
    },
    get by() {
      return { requestId: requestIdentity(request.headers, log), peer: peerOf(request, server) };
    },
    status: (code) => void (set.status = code),
  };
}

function hookOf({ method, path, query, body, answer }: Operation, about: About, tag: string) {
  const { access, also = [], withoutBody } = about;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => String(name));
  return {
    access,
    ...(about.keepsRequestId === true ? { headers: RequestIdHeader } : {}),
    ...(names.length === 0 ? {} : { params: Type.Object(Object.fromEntries(names.map((name) => [name, Uuid]))) }),
    ...(query === undefined ? {} : { query, asked: query }),
    ...(body === undefined ? {} : { body: nameOf(body) ?? body }),
    ...(withoutBody === undefined || withoutBody === "allowed" ? {} : { withoutBody }),
    response: documented(answer, failuresOf(method, about), also),
    detail: detailOf(path, about, tag),
  };
}

/** A body is read whether it is wanted or not, but for GET. What writes may find the database locked by another process for longer than it waits. */
function failuresOf(method: string, { failures = [], onlyReads }: About): number[] {
  const implied = method === "GET" ? [] : onlyReads === true ? [413] : [413, 503];
  return [...new Set([...failures, ...implied])].toSorted((one, other) => one - other);
}

function detailOf(path: string, { summary, description, withoutBody, redirects }: About, tag: string) {
  const isOptional = withoutBody === "allowed" || withoutBody === "an empty one";
  return {
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(isOptional ? BODY_IS_OPTIONAL : {}),
    ...(isForPeople(path) ? IS_FOR_PEOPLE : {}),
    ...(redirects === true ? MAY_REDIRECT : {}),
  };
}
