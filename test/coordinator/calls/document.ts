/** The committed OpenAPI document, as the tests of its calls read it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/spawned.ts";

/** Who may make a call: everybody, holders of the api_secret, or these and Managers at known addresses without it. */
export type Guard = "public" | "api" | "manager";

/** A call that the document has. */
export interface Documented {
  /** `GET /status`. */
  name: string;
  method: string;
  path: string;
  guard: Guard;
  /** The status codes with which it may refuse. */
  refusals: number[];
  /** The names of its path's parameters. */
  params: string[];
  query: string[];
  hasBody: boolean;
  /** It changes what the coordinator's database has. */
  writes: boolean;
  needsBody: boolean;
}

interface Operation {
  security: Record<string, unknown>[];
  responses: Record<string, unknown>;
  parameters?: { in: string; name: string }[];
  requestBody?: { required?: boolean };
}

const file = join(ROOT, "test/fixtures/openapi.json");
const { paths } = JSON.parse(readFileSync(file, "utf8")) as { paths: Record<string, Record<string, Operation>> };

export const documented: readonly Documented[] = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => read(method.toUpperCase(), path, operation)),
);

// --- internal ---

function read(
  method: string,
  path: string,
  { security, responses, parameters = [], requestBody }: Operation,
): Documented {
  const named = (place: string) => parameters.filter((one) => one.in === place).map(({ name }) => name);
  return {
    name: `${method} ${path}`,
    method,
    path,
    guard: security.length === 0 ? "public" : security.some((one) => Object.keys(one).length === 0) ? "manager" : "api",
    refusals: Object.keys(responses).map(Number).filter((status) => status >= 400), // prettier-ignore
    params: named("path"),
    query: named("query"),
    hasBody: requestBody !== undefined,
    writes: (method !== "GET" && !path.endsWith("/token")) || /\/proxy\/(auth|.*\/delete)$/.test(path),
    needsBody: requestBody?.required === true,
  };
}
