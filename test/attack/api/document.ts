/** What a service promises of its calls: with which statuses, content types and bodies it answers, and what it takes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/spawned.ts";
import type { Schema } from "./schema.ts";

export interface Promised {
  /** By status: the schema of each content type; none where an answer has no body. */
  answers: Map<number, Map<string, Schema>>;
  /** Of its query's parameters. */
  query: Parameter[];
  /** Null: it has no body. */
  body: Schema | null;
}

export interface Parameter {
  name: string;
  isRequired: boolean;
  schema: Schema;
}

interface Operation {
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
  parameters?: { in: string; name: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

const document = JSON.parse(readFileSync(join(ROOT, "test/fixtures/openapi.json"), "utf8")) as {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

/** The schemas that have names. */
export const { schemas } = document.components;

/** What is promised of the coordinator's call. */
export function promisedOf(method: string, path: string): Promised {
  const operation = document.paths[path]?.[method.toLowerCase()];
  if (operation === undefined) throw new Error(`the document has no ${method} ${path}`);
  const { responses, parameters = [], requestBody } = operation;
  const answers = Object.entries(responses).map(([status, { content = {} }]): [number, Map<string, Schema>] => [
    Number(status),
    new Map(Object.entries(content).map(([type, { schema }]) => [type, schema])),
  ]);
  return {
    answers: new Map(answers),
    query: parameters.filter((one) => one.in === "query").map(({ name, required, schema }) => ({ name, schema, isRequired: required === true })), // prettier-ignore
    body: requestBody?.content["application/json"]?.schema ?? null,
  };
}
