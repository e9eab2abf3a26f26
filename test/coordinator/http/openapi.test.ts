/** What Swagger UI shows: every route documented, every asset served from here, and every route as protected as it says. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { currentOpenApi } from "../../../scripts/dev/openapi.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { ROOT } from "../../support/spawned.ts";

interface Operation {
  summary?: string;
  tags?: string[];
  security?: Record<string, unknown>[];
  responses?: Record<string, { content?: Record<string, unknown> }>;
  requestBody?: { content: Record<string, { schema: { $ref?: string } }> };
}

interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, { example?: unknown; required?: string[] }>;
    securitySchemes: Record<string, unknown>;
  };
}

const snapshot = JSON.parse(readFileSync(join(ROOT, "test/fixtures/openapi.json"), "utf8")) as Document;
const operations = Object.entries(snapshot.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase(),
    path,
    operation,
  })),
);
const PUBLIC = ["GET /", "GET /status", "GET /health", "GET /health/livez", "GET /health/readyz", "GET /metrics", "GET /v2/proxy/auth", "POST /v2/proxy/auth", "GET /v2/proxy/{token}/{session_id}/add", "GET /v2/proxy/{token}/{session_id}/delete"]; // prettier-ignore
/** What a worker's own secret opens. */
const WORKERS = ["PUT /api/worker", "PATCH /api/worker/{worker_id}", "DELETE /api/worker/{worker_id}", "GET /api/worker/{worker_id}/circuits", "POST /api/worker/{worker_id}/service-workers", "POST /api/circuit/{circuit_id}/refused"]; // prettier-ignore

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

test("the served document is the committed snapshot", async () => {
  expect(await currentOpenApi()).toEqual(snapshot);
  expect(await (await fetch(`${cluster.coordinator.baseUrl}/swagger/json`)).json()).toEqual(snapshot);
});

test("schemas are those of OpenAPI 3.1: earlier ones have no constants, no null and no tuples", () => {
  const text = JSON.stringify(snapshot);
  expect([snapshot.openapi, text.includes('"const"'), text.includes('"type":"null"')]).toEqual(["3.1.0", true, true]);
  expect([text.includes('"prefixItems":['), text.includes('"items":['), text.includes("additionalItems")]).toEqual([true, false, false]); // prettier-ignore
});

test("what has a default may be left out", () => {
  const { required = [] } = snapshot.components.schemas["WorkerRegistration"] ?? {};
  expect(required).toContain("hostname");
  for (const name of ["tls_listen", "tls_advertised", "filtered_apps_only"]) expect(required).not.toContain(name);
});

test("an app is opened by an answer or by a redirect, and figures are text", () => {
  const answersOf = (path: string, method: string) => snapshot.paths[path]?.[method]?.responses ?? {};
  for (const method of ["get", "post"]) expect(Object.keys(answersOf("/v2/proxy/auth", method))).toContain("302");
  expect(Object.keys(answersOf("/metrics", "get")["200"]?.content ?? {})).toEqual(["text/plain"]);
});

test("all calls of this version are in it", () => {
  expect(
    operations
      .map(({ name }) => name)
      .filter((name) => !PUBLIC.includes(name))
      .toSorted(),
  ).toEqual([
    "DELETE /api/circuit/_/bulk",
    "DELETE /api/circuit/{circuit_id}",
    "DELETE /api/worker/{worker_id}",
    "DELETE /v1/api/circuit/{circuit_id}",
    "DELETE /v2/endpoints/bulk",
    "DELETE /v2/endpoints/{endpoint_id}",
    "GET /api/circuit/{circuit_id}",
    "GET /api/circuit/{circuit_id}/statistics",
    "GET /api/circuits",
    "GET /api/slots",
    "GET /api/worker",
    "GET /api/worker/{worker_id}",
    "GET /api/worker/{worker_id}/circuits",
    "GET /health/circuits/{circuit_id}",
    "GET /health/endpoints",
    "GET /health/status",
    "GET /health/summary",
    "GET /v1/api/slots",
    "GET /v1/api/worker",
    "PATCH /api/worker/{worker_id}",
    "POST /api/circuit/{circuit_id}/refused",
    "POST /api/worker/{worker_id}/service-workers",
    "POST /v2/conf",
    "POST /v2/endpoints/bulk",
    "POST /v2/endpoints/bulk/routes",
    "POST /v2/endpoints/bulk/routes/register",
    "POST /v2/endpoints/bulk/routes/unregister",
    "POST /v2/endpoints/{endpoint_id}",
    "POST /v2/endpoints/{endpoint_id}/token",
    "PUT /api/worker",
    "PUT /v2/endpoints/{endpoint_id}/health-check",
  ]);
});

describe.each(operations)("$name", ({ name, method, path, operation }) => {
  test("has a summary, a tag, a security scheme and answers", () => {
    expect(operation.summary).toBeString();
    expect(operation.tags).toHaveLength(1);
    expect(Object.keys(operation.responses ?? {})).toContain("200");
    const schemes = (operation.security ?? []).flatMap((one) => Object.keys(one));
    const own = WORKERS.includes(name) ? ["worker"] : [];
    expect(schemes).toEqual(PUBLIC.includes(name) ? [] : [...own, "token", "jwt"]);
    if (!PUBLIC.includes(name)) expect(Object.keys(operation.responses ?? {})).toContain("401");
  });

  test("names 503 where it writes: the database may be another process's for a while", () => {
    const writes = (method !== "GET" && !path.endsWith("/token")) || /^GET \/v2\/proxy\/(auth|.*\/delete)$/.test(name);
    if (writes) expect(Object.keys(operation.responses ?? {})).toContain("503");
  });

  test("says what its failures come as: problem documents, and pages where people come", () => {
    const failures = Object.entries(operation.responses ?? {}).filter(([status]) => Number(status) >= 400);
    const types = new Set(failures.map(([, { content = {} }]) => Object.keys(content).join()));
    // A health answer tells the same whichever its status is; who has too long a head is told nothing.
    for (const other of ["application/json", ""]) types.delete(other);
    const wanted = path.startsWith("/v2/proxy/") ? "application/problem+json,text/html" : "application/problem+json";
    expect([...types].filter((one) => one !== wanted)).toEqual([]);
  });

  test("has an example for its body", () => {
    const reference = operation.requestBody?.content["application/json"]?.schema.$ref;
    if (operation.requestBody === undefined) expect(reference).toBeUndefined();
    else expect(snapshot.components.schemas[reference?.split("/").at(-1) ?? ""]?.example).toBeObject();
  });

  test("is as open as the document says", async () => {
    const url = cluster.coordinator.baseUrl + path.replaceAll(/\{[^}]+\}/g, "x");
    const answer = await fetch(url, {
      method,
      body: method === "GET" ? null : "{",
      headers: { "X-BackendAI-Token": "wrong" },
    });
    expect(answer.status === 401).toBe(!PUBLIC.includes(name));
  });
});

describe("/swagger", () => {
  test("names no other host, neither in the page nor in its start script", async () => {
    for (const path of ["/swagger", "/swagger/assets/start.js"]) {
      const answer = await fetch(cluster.coordinator.baseUrl + path);
      expect(answer.status).toBe(200);
      expect(await answer.text()).not.toMatch(/https?:\/\//);
    }
  });

  test.each(["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"])("serves %s", async (file) => {
    const answer = await fetch(`${cluster.coordinator.baseUrl}/swagger/assets/${file}`);
    expect(answer.status).toBe(200);
    expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(500);
  });

  test.each(["package.json", "..%2Fpackage.json", "constructor"])("serves nothing else, such as %s", async (file) => {
    expect((await fetch(`${cluster.coordinator.baseUrl}/swagger/assets/${file}`)).status).toBe(404);
  });
});
