/** Says in words which field of a request is wrong, what was wanted there and what was given. */
import type { ValidationError } from "elysia";
import { isRecord } from "../../shared/values.ts";

export interface FieldFault {
  field: string;
  wanted: string;
  got: string;
  /** All of it as one sentence. */
  text: string;
}

/** At most this many fields are named. */
const MAX_FAULTS = 10;
const SECRET_NAME = /(token|secret|password|authorization|access_key)$/i;

/** The faults of a request that failed its schema, one a field. */
export function describeFaults(error: ValidationError): FieldFault[] {
  return describeErrors(
    error.all.filter((one) => "path" in one),
    error.type,
  );
}

/** What TypeBox or Elysia say of a value: a JSON pointer, the schema there and what was given. */
interface SchemaError {
  path: string;
  value?: unknown;
  schema?: unknown;
  /** Of a union: what each branch says. */
  errors?: Iterable<SchemaError>[];
}

/** The faults of a value, one a field. `whole` names the value itself. */
export function describeErrors(errors: Iterable<SchemaError>, whole = "body"): FieldFault[] {
  const faults = new Map<string, FieldFault>();
  for (const { path, schema, value } of inside(errors)) {
    if (faults.size >= MAX_FAULTS) break;
    const field = path.slice(1).replaceAll("/", ".") || whole;
    if (faults.has(field)) continue;
    const wanted = describeSchema(schema);
    // In the place of an object or a list text may be the whole of it, in whatever form.
    const isInstead = /^(an object|a list)/.test(wanted) && typeof value === "string";
    const got = isInstead && !SECRET_NAME.test(field) ? lengthOf(value) : shown(field, value);
    faults.set(field, { field, wanted, got, text: `${field}: wanted ${wanted}, got ${got}` });
  }
  return [...faults.values()];
}

/** A schema in words: "an integer from 1 to 65535 or null". */
export function describeSchema(schema: unknown): string {
  if (!isRecord(schema)) return "another value";
  if (Array.isArray(schema["anyOf"])) return alternatives(schema["anyOf"]);
  if ("const" in schema) return JSON.stringify(schema["const"]);
  switch (schema["type"]) {
    case "integer":
    case "number":
      return `${schema["type"] === "integer" ? "an integer" : "a number"}${range(schema["minimum"], schema["maximum"])}`;
    case "string":
      return text(schema);
    case "boolean":
      return "true or false";
    case "null":
      return "null";
    case "array":
      return `a list${range(schema["minItems"], schema["maxItems"])}`;
    default:
      return "an object";
  }
}

// --- internal ---

function alternatives(schemas: unknown[]): string {
  const words = [...new Set(schemas.map(describeSchema))];
  const literals = words.filter((word) => word.startsWith('"'));
  const others = words.filter((word) => !word.startsWith('"'));
  const listed = literals.length > 1 ? [`one of ${literals.map((word) => word.slice(1, -1)).join(", ")}`] : literals;
  return [...listed, ...others].join(" or ");
}

function range(low: unknown, high: unknown): string {
  if (typeof low === "number" && typeof high === "number") return ` from ${low} to ${high}`;
  if (typeof low === "number") return ` of at least ${low}`;
  return typeof high === "number" ? ` of at most ${high}` : "";
}

/** Of formats whose names tell a caller nothing. Elysia makes texts of its own of what a query may hold. */
const FORMATS: ReadonlyMap<string, string> = new Map([
  ["uuid", "a UUID"],
  ["uri", "a URL"],
  ["boolean", "true or false"],
  ["numeric", "a number"],
  ["integer", "an integer"],
  ["ObjectString", "an object"],
  ["ArrayString", "a list"],
]);

function text(schema: Record<string, unknown>): string {
  const { format } = schema;
  if (typeof format === "string") return FORMATS.get(format) ?? `a ${format}`;
  if (typeof schema["pattern"] === "string") return `text like ${schema["pattern"]}`;
  const length = range(schema["minLength"], schema["maxLength"]);
  return length === "" ? "text" : `text of length${length.replace(" of", "")}`;
}

/**
 * What is in an object where a union has one branch for objects is judged by that branch, and in a list likewise: "an object or
 * null" would tell nothing.
 */
function* inside(errors: Iterable<SchemaError>): Iterable<SchemaError> {
  for (const error of errors) {
    const { schema, value } = error;
    const type = Array.isArray(value) ? "array" : isRecord(value) ? "object" : null;
    const branches = type !== null && isRecord(schema) ? schema["anyOf"] : undefined;
    const fitting = Array.isArray(branches) ? branches.flatMap((one: unknown, at) => (isOf(one, type) ? [at] : [])) : []; // prettier-ignore
    const [only, ...others] = fitting;
    const nested = only === undefined || others.length > 0 ? [] : [...(error.errors?.[only] ?? [])];
    if (nested.every(({ path }) => path === error.path)) yield error;
    else yield* inside(nested);
  }
}

function isOf(schema: unknown, type: string | null): boolean {
  return isRecord(schema) && schema["type"] === type;
}

/** So many characters of what was given are shown. */
const SHOWN = 80;
/** Text in which an object or a list stands, perhaps as text once more. */
const NESTED = /^[\s"\\]*[{[]/;

/** What was given, in words; lists and objects are only named, because a secret may be anywhere in them. */
export function shown(field: string, value: unknown): string {
  if (value === undefined) return "nothing";
  if (SECRET_NAME.test(field)) return "[hidden]";
  if (typeof value === "object" && value !== null)
    return Array.isArray(value) ? `a list of ${value.length}` : "an object";
  if (typeof value === "string" && NESTED.test(value)) return lengthOf(value);
  // JSON has no word for a number that is too large.
  const json = typeof value === "number" ? String(value) : JSON.stringify(value);
  if (json.length <= SHOWN) return json;
  // Closed again, and without a half escape, so that what follows in the message is not taken for a part of it.
  let end = SHOWN;
  while (json[end - 1] === "\\") end--;
  return `${json.slice(0, end)}…${json.startsWith('"') ? '"' : ""}`;
}

function lengthOf(text: string): string {
  return `text of length ${text.length}`;
}
