/** Queries are texts: turns them into the types that a schema names, so that a query and a JSON body are checked alike. */
import type { TSchema } from "@sinclair/typebox";
import { isEverywhere } from "../../shared/compat/keys.ts";
import { isRecord } from "../../shared/values.ts";
import { Failure } from "../../shared/failure.ts";

/** Gives the query with numbers, truth values and JSON objects where the schema wants them; what can't be read stays text. */
export function readQuery(schema: TSchema, query: Record<string, unknown>): Record<string, unknown> {
  const properties: unknown = schema["properties"];
  if (!isRecord(properties)) return query;
  return Object.fromEntries(
    // As in bodies, names that every object has are nobody's.
    Object.entries(query)
      .filter(([name]) => !isEverywhere(name))
      .map(([name, value]) => [name, readValue(name, properties[name], value)]),
  );
}

// --- internal ---

function readValue(name: string, schema: unknown, value: unknown): unknown {
  if (typeof value !== "string") return value;
  const types = typesOf(schema);
  if (value === "" && types.has("null")) return null;
  if ((types.has("integer") || types.has("number")) && /^[+-]?\d+(\.\d+)?$/.test(value)) return Number(value);
  // The original's parser takes these words too.
  if (types.has("boolean") && /^(true|1|yes|on|y|t)$/i.test(value)) return true;
  if (types.has("boolean") && /^(false|0|no|off|n|f)$/i.test(value)) return false;
  return types.has("object") ? readJson(name, value) : value;
}

function typesOf(schema: unknown): Set<unknown> {
  if (!isRecord(schema)) return new Set();
  const { type, anyOf } = schema;
  const inner = Array.isArray(anyOf) ? anyOf.flatMap((one: unknown) => [...typesOf(one)]) : [];
  return new Set([type, ...inner]);
}

/** Throws here, because Elysia's normaliser would make an object of a text before the schema is checked. */
function readJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Failure("invalid-api-params", {
      msg: `${name}: wanted an object or null, got text that is not JSON`,
      cause: error,
    });
  }
}
