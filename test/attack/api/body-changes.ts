/** What can be odd about a body: the value of one field, or its text. */
import type { Random } from "../../faults/random.ts";
import { isRecord } from "../../../shared/values.ts";
import { hide, replacedAt, type Attempt } from "./attempt.ts";
import { jsonText, nested, Verbatim, withMembers } from "./json.ts";
import { faultsIn, resolved, type Schema } from "./schema.ts";
import { fittingValue, oddValue } from "./values.ts";
import type { Asked } from "./changes.ts";

/** Changes the body of a call that has one. */
export function bodyChange(attempt: Attempt, asked: Asked, random: Random): void {
  const { schemas, given, promised } = asked;
  const places = placesIn(promised.body ?? {}, given.body, schemas);
  const [whole, ...fields] = places;
  if (whole === undefined) throw new Error("a body has no place for a change");
  const { kind } = random.weighted([
    { weight: fields.length === 0 ? 0 : 6, kind: "odd" },
    { weight: fields.length === 0 ? 0 : 4, kind: "fitting" },
    { weight: fields.length === 0 ? 0 : 1, kind: "missing" },
    { weight: 2, kind: "members" },
    { weight: 2, kind: "text" },
    { weight: 1, kind: "whole" },
  ]);
  if (kind === "text") return spoilText(attempt, random);
  if (kind === "members") return addMembers(attempt, given.body, places, random);
  const place = kind === "whole" ? whole : random.pick(fields);
  const value = valueAt(kind, place, schemas, random);
  attempt.what.push(`${place.path.join(".") || "body"} is ${value === undefined ? "missing" : jsonText(value).slice(0, 60)}`); // prettier-ignore
  attempt.body = Buffer.from(jsonText(replacedAt(given.body, place.path, value)));
  // Of a body that is wrong as a whole, what it lacks is named.
  hide(attempt, String(place.path.at(-1)), value);
  if (isWrong(place, value, schemas)) attempt.wrong = place.path.findLast((one) => typeof one === "string") ?? "";
}

// --- internal ---

interface Place {
  path: (string | number)[];
  schema: Schema;
  isRequired: boolean;
}

/** The body itself first, then whatever is in it or may be. */
function placesIn(schema: Schema, value: unknown, schemas: Record<string, Schema>, path: Place["path"] = [], isRequired = true): Place[] {
  const own = objectBranch(resolved(schema, schemas), value);
  const here: Place = { path, schema, isRequired };
  if (Array.isArray(value)) {
    const items = own["items"];
    return [here, ...(isRecord(items) && value.length > 0 ? placesIn(items, value[0], schemas, [...path, 0], false) : [])];
  }
  const { properties, required = [] } = own as { properties?: Record<string, Schema>; required?: string[] };
  if (properties === undefined || (path.length > 0 && !isRecord(value))) return [here];
  const fields = Object.entries(properties).flatMap(([name, one]) => {
    const inner = isRecord(value) ? value[name] : undefined;
    return placesIn(one, inner, schemas, [...path, name], required.includes(name));
  });
  return [here, ...fields];
} // prettier-ignore

function objectBranch(schema: Schema, value: unknown): Schema {
  const branches = Array.isArray(schema["anyOf"]) ? (schema["anyOf"] as Schema[]) : [];
  const wanted = Array.isArray(value) ? "array" : "object";
  return branches.find(({ type }) => type === wanted) ?? schema;
}

/** Undefined takes it away. */
function valueAt(kind: string, { schema }: Place, schemas: Record<string, Schema>, random: Random): unknown {
  if (kind === "missing") return undefined;
  return kind === "fitting" ? fittingValue(schema, schemas, random) : oddValue(schema, schemas, random);
}

/** What the document does not allow, but for other spellings of the original's that are taken too (`coordinator/http/lenient.ts`). */
function isWrong({ path, schema, isRequired }: Place, value: unknown, schemas: Record<string, Schema>): boolean {
  if (value === undefined) return isRequired;
  const read = value instanceof Verbatim ? value.value : value;
  const name = String(path.at(-1));
  if (typeof read === "string" && /(^|_)port$/.test(name) && /^\d{1,5}$/.test(read)) return false;
  if (typeof read === "string" && /^[0-9a-f]{32}$/i.test(read)) return false;
  return faultsIn(read, schema, schemas).length > 0;
}

/** Members that nobody asked for, and names that come twice. */
function addMembers(attempt: Attempt, body: unknown, places: readonly Place[], random: Random): void {
  const objects = places.filter(({ path }) => isRecord(at(body, path)));
  if (objects.length === 0) return spoilText(attempt, random);
  const { path } = random.pick(objects);
  const own = at(body, path) as Record<string, unknown>;
  const [first = "a"] = Object.keys(own);
  const more = random.pick<string[]>([
    ['"__proto__":{"isAdmin":true}'],
    ['"__proto__":null'],
    ['"constructor":{"prototype":{"isAdmin":true}}', '"toString":1', '"hasOwnProperty":1'],
    [`${JSON.stringify(first)}:${jsonText(own[first] ?? null)}`],
    [`${JSON.stringify(first)}:null`],
    ['"a-b":1', '"a_b":2', '"":3'],
    [`"more":${nested(25, "objects").text}`],
    [`"more":${nested(40, "lists").text}`],
    [`"more":${JSON.stringify("x".repeat(200_000))}`],
    Array.from({ length: 5000 }, (_, index) => `"k${index}":${index}`),
  ]);
  attempt.what.push(`${path.join(".") || "body"} has ${more[0]?.slice(0, 40)} too`);
  attempt.body = Buffer.from(jsonText(replacedAt(body, path, withMembers(own, more))));
}

function at(value: unknown, path: Place["path"]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string | number, unknown> | undefined)?.[key], value);
}

function spoilText(attempt: Attempt, random: Random): void {
  const text = attempt.body?.toString("utf8") ?? "{}";
  const cut = random.between(0, text.length);
  const changed = random.pick([
    text.slice(0, cut),
    `${text}x`,
    `${text}${text}`,
    `// comment\n${text}`,
    text.replaceAll('"', "'"),
    text.replace(/}$/, ",}"),
    `[${text}]`,
    JSON.stringify(text),
    "null",
    "[]",
    "0",
    '""',
    " \n\t ",
    "NaN",
    "{".repeat(50_000),
    `${text.slice(0, cut)}\u0000${text.slice(cut)}`,
    `${text.slice(0, cut)}\\u${text.slice(cut)}`,
  ]);
  attempt.what.push(`text ${JSON.stringify(changed.slice(0, 60))}`);
  attempt.body = Buffer.from(changed);
}
