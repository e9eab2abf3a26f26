/**
 * Swagger UI at /swagger with every asset served from here: clusters have no internet.
 * The only file that knows @elysiajs/swagger, whose own page would load scripts from a CDN; only its document is used.
 */
import { STATUS_CODES } from "node:http";
import { dirname, join } from "node:path";
import { swagger } from "@elysiajs/swagger";
import { Elysia, type AnyElysia } from "elysia";
import { isRecord } from "../../shared/values.ts";
import { VERSION } from "../../shared/runtime/version.ts";

const DIST = dirname(Bun.resolveSync("swagger-ui-dist/package.json", import.meta.dir));
const ASSETS: Record<string, string> = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  "favicon-32x32.png": "image/png",
};

const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>App Proxy API</title>
<link rel="stylesheet" href="/swagger/assets/swagger-ui.css"><link rel="icon" href="/swagger/assets/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="/swagger/assets/swagger-ui-bundle.js"></script><script src="/swagger/assets/start.js"></script></body></html>`;

const START = `window.ui = SwaggerUIBundle({ url: "/swagger/json", dom_id: "#swagger-ui", deepLinking: true, persistAuthorization: false });`;

// Everything is ours; styles are set by the UI's scripts, and its icons are data URLs.
const CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/** For the `detail` of a call whose body may be left out: Elysia documents every body as required. */
export const BODY_IS_OPTIONAL = { "x-body-is-optional": true };

/** For the `detail` of a call for people's browsers: its failures may be pages. */
export const IS_FOR_PEOPLE = { "x-is-for-people": true };

/** For the `detail` of a call that may send its caller on instead of answering. */
export const MAY_REDIRECT = { "x-may-redirect": true };

/** The routes under /swagger, for an app that has the routes of `described`. */
export function swaggerRoutes(described: readonly AnyElysia[]) {
  let made: Promise<unknown> | null = null;
  return new Elysia({ name: "swagger-ui" })
    .get(
      "/swagger",
      () =>
        new Response(PAGE, { headers: { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": CSP } }),
      hidden,
    )
    .get("/swagger/json", () => (made ??= openApiDocument(described)), hidden)
    .get(
      "/swagger/assets/start.js",
      () => new Response(START, { headers: { "Content-Type": "text/javascript; charset=utf-8" } }),
      hidden,
    )
    .get(
      "/swagger/assets/:file",
      ({ params: { file }, status }) => {
        const type = Object.hasOwn(ASSETS, file) ? ASSETS[file] : undefined;
        if (type === undefined) return status(404, "no such asset");
        return new Response(Bun.file(join(DIST, file)), {
          headers: { "Content-Type": type, "Cache-Control": "public, max-age=86400" },
        });
      },
      hidden,
    );
}

/** The OpenAPI document of the given routes. */
export async function openApiDocument(described: readonly AnyElysia[]): Promise<unknown> {
  // An app of its own, never listening, so that the plugin's page with its foreign scripts is not served.
  const app = new Elysia().use(
    swagger({
      provider: "swagger-ui",
      path: "/page",
      specPath: "/json",
      documentation: DOCUMENT,
      exclude: ["/page", "/json"],
    }),
  );
  for (const plugin of described) app.use(plugin);
  const answer = await app.handle(new Request("http://localhost/json"));
  const document = tidy(await answer.json());
  if (!isRecord(document) || !isRecord(document["paths"])) throw new Error("the plugin made no document");
  describeAnswers(document["paths"]);
  // Schemas are those of TypeBox, which are JSON Schema's: 3.0, as the plugin says, has no `const`, no `null` and no tuples.
  return { ...document, openapi: "3.1.0" };
}

// --- internal ---

const hidden = { detail: { hide: true } };

const DOCUMENT = {
  info: {
    title: "Backend.AI App Proxy — coordinator",
    version: VERSION,
    description:
      "Makes circuits: routes from a user-facing port or subdomain to one app of a compute session. Besides what each call " +
      "names: 404 for a path and 405 for a method that is not there, 431 for a head of more than 16 KiB or 198 lines, and " +
      "500, whose `X-Error-Id` is in the log, all but 431 as problem documents.",
  },
  tags: [
    { name: "Manager", description: "Calls of the platform's Manager" },
    { name: "Apps", description: "Calls of a person's client, with a token of /v2/conf" },
    { name: "Circuits" },
    { name: "Workers", description: "Calls of workers" },
    { name: "Status" },
  ],
  components: {
    securitySchemes: {
      token: {
        type: "apiKey" as const,
        in: "header" as const,
        name: "X-BackendAI-Token",
        description: "The api_secret.",
      },
      worker: {
        type: "apiKey" as const,
        in: "header" as const,
        name: "X-BackendAI-Token",
        description: "A worker's own secret (`bun run keys --worker`): for what concerns this worker.",
      },
      jwt: {
        type: "http" as const,
        scheme: "bearer",
        bearerFormat: "JWT",
        description: "HS256, signed with the api_secret; needs `exp`.",
      },
    },
  },
};

const MARKS = [BODY_IS_OPTIONAL, IS_FOR_PEOPLE, MAY_REDIRECT].flatMap(Object.keys);
const FOUND = { headers: { Location: { schema: { type: "string", format: "uri" } } } };
const ANY_PAGE = { schema: { type: "string" } };

/**
 * OpenAPI wants a description for every answer; an example belongs to its schema, where the plugin has put it too. Of content
 * types the plugin knows one for all answers.
 */
function describeAnswers(paths: Record<string, unknown>): void {
  for (const operation of Object.values(paths).filter(isRecord).flatMap(Object.values)) {
    if (!isRecord(operation) || !isRecord(operation["responses"])) continue;
    const { responses } = operation;
    if (operation["x-body-is-optional"] === true && isRecord(operation["requestBody"]))
      operation["requestBody"]["required"] = false;
    if (operation["x-may-redirect"] === true) responses["302"] = { ...FOUND };
    // All that may be in a query is more than a head may have.
    if (hasQuery(operation)) responses["431"] = {};
    const isForPeople = operation["x-is-for-people"] === true;
    for (const mark of MARKS) delete operation[mark];
    for (const [status, answer] of Object.entries(responses)) {
      if (!isRecord(answer)) continue;
      answer["description"] = STATUS_CODES[status] ?? "OK";
      delete answer["example"];
      const content = isRecord(answer["content"]) ? answer["content"]["application/json"] : undefined;
      if (isProblem(content))
        answer["content"] = { "application/problem+json": content, ...(isForPeople ? { "text/html": ANY_PAGE } : {}) };
    }
  }
}

function hasQuery({ parameters }: Record<string, unknown>): boolean {
  return Array.isArray(parameters) && parameters.some((one: unknown) => isRecord(one) && one["in"] === "query");
}

function isProblem(content: unknown): boolean {
  return isRecord(content) && isRecord(content["schema"]) && content["schema"]["$ref"] === "#/components/schemas/Problem"; // prettier-ignore
}

const OTHER_TYPES = new Set(["multipart/form-data", "text/plain"]);

/**
 * The plugin documents three content types for everything; the API speaks JSON alone. Elysia marks schemas of answers
 * with `$id` and, once it has compiled them, as closed: neither is part of the contract. What has a default may be left out. A
 * tuple is written as JSON Schema has it since its version of 2020.
 */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (!isRecord(value)) return value;
  if (Array.isArray(value["items"])) {
    const { items, additionalItems: _others, ...rest } = value;
    return { ...rest, prefixItems: tidy(items), items: false };
  }
  const json = Object.hasOwn(value, "application/json");
  const { properties, required } = value;
  if (isRecord(properties) && Array.isArray(required) && required.some((name) => hasDefault(properties[name])))
    return tidy({ ...value, required: required.filter((name) => !hasDefault(properties[name])) });
  return Object.fromEntries(
    Object.entries(value)
      .filter(
        ([key, inner]) =>
          !(json && OTHER_TYPES.has(key)) && key !== "$id" && !(key === "additionalProperties" && inner === false),
      )
      .map(([key, inner]) => [key, tidy(inner)]),
  );
}

function hasDefault(schema: unknown): boolean {
  return isRecord(schema) && "default" in schema;
}
