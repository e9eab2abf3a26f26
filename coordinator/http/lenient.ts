/**
 * Spellings that the original takes, because its parser is Python's, in the one form in which they are judged and kept here:
 * UUIDs without hyphens, ports as text. Only fields that hold such values are looked at: an access key is a text of anybody's.
 */
import { isRecord } from "../../shared/values.ts";

/** The same value with UUIDs and ports in their own form, everywhere but below the keys in `untouched`. */
export function ownForms(value: unknown, untouched: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => ownForms(one, untouched));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, untouched.has(key) ? inner : ownForm(key, inner, untouched)]),
  );
}

/** The same for the texts of a path or a query, in their place. */
export function ownFormsIn(texts: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(texts))
    if (typeof value === "string" && UUID_FIELDS.has(key)) texts[key] = withHyphens(value);
}

// --- internal ---

const UUID_FIELDS: ReadonlySet<string> = new Set([
  "id",
  "token",
  "circuit_id",
  "circuit_ids",
  "deployment_id",
  "endpoint_id",
  "group_id",
  "project_id",
  "route_id",
  "route_ids",
  "session_id",
  "session_ids",
  "user_id",
  "user_uuid",
  "worker_id",
]);
const PORT_FIELDS: ReadonlySet<string> = new Set(["kernel_port", "port"]);
const BARE_UUID = /^[0-9a-f]{32}$/i;

function ownForm(key: string, value: unknown, untouched: ReadonlySet<string>): unknown {
  if (typeof value === "string") {
    if (UUID_FIELDS.has(key)) return withHyphens(value);
    return PORT_FIELDS.has(key) && /^\d{1,5}$/.test(value) ? Number(value) : value;
  }
  if (Array.isArray(value) && UUID_FIELDS.has(key))
    return value.map((one: unknown) => (typeof one === "string" ? withHyphens(one) : one));
  return ownForms(value, untouched);
}

function withHyphens(text: string): string {
  if (!BARE_UUID.test(text)) return text;
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join("-");
}
