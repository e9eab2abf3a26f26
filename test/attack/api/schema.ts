/**
 * JSON schemas as the OpenAPI document writes them, checked without the library that the document is made with: what it means to
 * a stranger is what counts. A keyword that is not known here is an error, so that none is passed over.
 */
import { isRecord } from "../../../shared/values.ts";

export type Schema = Record<string, unknown>;

/** What is wrong with a value, one sentence a fault; `schemas` are those that a `$ref` names. */
export function faultsIn(value: unknown, schema: Schema, schemas: Record<string, Schema>, at = ""): string[] {
  const strange = Object.keys(schema).filter((keyword) => !KNOWN.has(keyword));
  if (strange.length > 0) throw new Error(`a schema has ${strange.join(", ")}, which is not known here`);
  const own = resolved(schema, schemas);
  const { anyOf, type } = own;
  if (Array.isArray(anyOf)) {
    const branches = (anyOf as Schema[]).map((one) => faultsIn(value, one, schemas, at));
    return branches.some((faults) => faults.length === 0) ? [] : [`${at || "it"} fits none of ${branches.length}`];
  }
  if ("const" in own && own["const"] !== value) return [`${at || "it"} is not ${JSON.stringify(own["const"])}`];
  if (typeof type === "string" && !isOf(value, type)) return [`${at || "it"} is no ${type}`];
  if (typeof value === "number") return bounds(at, value, own["minimum"], own["maximum"]);
  if (typeof value === "string")
    return [...bounds(`${at}'s length`, value.length, own["minLength"], own["maxLength"]), ...textFaults(at, value, own)]; // prettier-ignore
  if (Array.isArray(value)) {
    const { items, prefixItems: first = [] } = own as { items?: unknown; prefixItems?: Schema[] };
    const inner = (one: unknown, index: number) => {
      const schemaOf = first[index] ?? items;
      if (schemaOf === false) return [`${at} is too long`];
      return isRecord(schemaOf) ? faultsIn(one, schemaOf, schemas, `${at}.${index}`) : [];
    };
    return [...bounds(`${at}'s length`, value.length, own["minItems"], own["maxItems"]), ...value.flatMap(inner)];
  }
  return isRecord(value) ? objectFaults(value, own, schemas, at) : [];
}

/** The schema itself where it is a reference to one. */
export function resolved(schema: Schema, schemas: Record<string, Schema>): Schema {
  const { $ref: name } = schema;
  if (typeof name !== "string") return schema;
  const found = schemas[name.replace("#/components/schemas/", "")];
  if (found === undefined) throw new Error(`the document has no ${name}`);
  return found;
}

// --- internal ---

/** Those without a meaning for a check stand last. */
const KNOWN = new Set(
  "$ref anyOf const type properties required items prefixItems additionalProperties minimum maximum minLength maxLength minItems maxItems pattern format description example default".split(
    " ",
  ),
);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FORMATS: Record<string, (text: string) => boolean> = {
  uuid: (text) => UUID.test(text),
  uri: (text) => URL.canParse(text),
  "date-time": (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text)),
};

function isOf(value: unknown, type: string): boolean {
  switch (type) {
    case "integer":
      return Number.isInteger(value);
    case "number":
      return Number.isFinite(value);
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isRecord(value);
    default:
      return typeof value === type;
  }
}

function bounds(at: string, value: number, least: unknown, most: unknown): string[] {
  const isLow = typeof least === "number" && value < least;
  const isHigh = typeof most === "number" && value > most;
  return isLow || isHigh ? [`${at || "it"} is ${value}`] : [];
}

function textFaults(at: string, value: string, { format, pattern }: Schema): string[] {
  if (typeof pattern === "string" && !new RegExp(pattern).test(value)) return [`${at || "it"} is not like ${pattern}`];
  const fits = typeof format === "string" ? FORMATS[format] : undefined;
  if (typeof format === "string" && fits === undefined) throw new Error(`the format ${format} is not known here`);
  return fits?.(value) === false ? [`${at || "it"} is no ${String(format)}`] : [];
}

function objectFaults(value: Schema, own: Schema, schemas: Record<string, Schema>, at: string): string[] {
  const {
    required = [],
    properties = {},
    additionalProperties: others,
  } = own as {
    required?: string[];
    properties?: Record<string, Schema>;
    additionalProperties?: unknown;
  };
  const missing = required.filter((name) => !Object.hasOwn(value, name)).map((name) => `${at}.${name} is missing`);
  const inner = Object.entries(value).flatMap(([name, one]) => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : others;
    return isRecord(schema) ? faultsIn(one, schema, schemas, `${at}.${name}`) : [];
  });
  return [...missing, ...inner];
}
