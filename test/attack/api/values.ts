/** Values that programs trip over, and those at and beyond the bounds of a schema. */
import type { Random } from "../../faults/random.ts";
import { nested, Verbatim } from "./json.ts";
import { resolved, type Schema } from "./schema.ts";

/** A value of any kind but, most times, the right one. `places` are those whose bounds are of interest. */
export function oddValue(schema: Schema, schemas: Record<string, Schema>, random: Random): unknown {
  const edges = edgesOf(schema, schemas);
  if (edges.length > 0 && random.chance(0.3)) return random.pick(edges);
  const kind = random.pick<unknown[]>([NUMBERS, TEXTS, TEXTS, TEXTS, OTHERS]);
  return random.pick(kind);
}

/** A text that may stand anywhere a text may. */
export function oddText(random: Random): string {
  return random.pick(TEXTS);
}

/** A value that fits the schema, as odd as that may be. */
export function fittingValue(schema: Schema, schemas: Record<string, Schema>, random: Random): unknown {
  const own = resolved(schema, schemas);
  if (Array.isArray(own["anyOf"])) return fittingValue(random.pick(own["anyOf"] as Schema[]), schemas, random);
  if ("const" in own) return own["const"];
  const { type, format, minimum, maximum, minLength = 0, maxLength = 300 } = own as Bounds;
  switch (type) {
    case "integer":
    case "number": {
      const [low, high] = [minimum ?? 0, maximum ?? 2 ** 31];
      return random.pick([low, high, random.between(low, high)]);
    }
    case "boolean":
      return random.chance(0.5);
    case "null":
      return null;
    case "string": {
      if (format === "uuid") return random.chance(0.3) ? random.uuid().toUpperCase() : random.uuid();
      const texts = TEXTS.filter(({ length }) => length >= minLength && length <= maxLength);
      return random.pick([...texts, "x".repeat(Math.min(maxLength, 70_000)), "a".repeat(Math.max(1, minLength))]);
    }
    case "array":
      return Array.from({ length: random.between(0, 3) }, () =>
        fittingValue((own["items"] ?? {}) as Schema, schemas, random),
      );
    default:
      return { [oddText(random)]: random.pick<unknown>([1, null, "x", [{}], { a: [] }]) };
  }
}

// --- internal ---

interface Bounds {
  type?: string;
  format?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
}

const ID = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
/** What is behind a number that JSON can't hold, or that a double can't. */
const NUMBERS: unknown[] = [
  0,
  -1,
  1.5,
  65_536,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e21,
  8.64e15,
  8.64e15 + 1,
  ...["1e309", "-1e309", "1E400", "-0", "0.1e-400", "NaN", "Infinity", "01", "+1", "0x10", "1_000", "123456789012345678901234567890"].map((text) => new Verbatim(text)),
]; // prettier-ignore

const TEXTS = [
  "",
  " ",
  "0",
  "null",
  "true",
  "x".repeat(256),
  "x".repeat(70_000),
  "\u0000",
  "a\u0000b",
  "\ud800",
  "\udfff\ud800",
  "a\ud83d",
  "💥𝒜",
  "\u202eabc\u2066",
  "e\u0301".repeat(50),
  "İ",
  "ﬃ",
  "\u2028\u0085",
  "%00%0a",
  "%",
  "%zz",
  "../../etc/passwd",
  "'; DROP TABLE circuits; --",
  '"}],{"',
  "${jndi:ldap://127.0.0.1/x}",
  "%s%n%p%d",
  "\r\nSet-Cookie: a=b",
  "<script>alert(1)</script>",
  "http://127.0.0.1/",
  "//evil.example/",
  "\\\\evil\\x",
  "::1",
  "[::1]",
  "127.1",
  "0x7f000001",
  "169.254.169.254",
  "localhost",
  "a..b",
  ".",
  "-",
  "xn--",
  "xn--a",
  "*",
  "1e309",
  ID.replaceAll("-", ""),
  ID.toUpperCase(),
  `urn:uuid:${ID}`,
  `{${ID}}`,
  `${ID} `,
  "9999-99-99T99:99:99Z",
  "+275760-09-13T00:00:00.001Z",
  "__proto__",
  "constructor",
];

const OTHERS: unknown[] = [
  null,
  true,
  false,
  [],
  [null],
  [[]],
  {},
  { "": "" },
  { length: 1 },
  { toString: 1, valueOf: null },
  Array.from({ length: 5000 }, () => 0),
  new Verbatim('{"__proto__":{"isAdmin":true}}'),
  new Verbatim('{"a":1,"a":2}'),
  nested(20, "lists"),
  nested(40, "lists"),
  nested(40, "objects"),
  nested(100_000, "lists"),
];

/** One beyond each bound, and a type beside. */
function edgesOf(schema: Schema, schemas: Record<string, Schema>): unknown[] {
  const own = resolved(schema, schemas);
  const inner = Array.isArray(own["anyOf"]) ? (own["anyOf"] as Schema[]).flatMap((one) => edgesOf(one, schemas)) : [];
  const { minimum, maximum, minLength, maxLength, minItems, maxItems } = own;
  const list = (length: number) => Array.from({ length: Math.max(0, length) }, () => ({}));
  return [
    ...inner,
    ...(typeof minimum === "number" ? [minimum, minimum - 1, String(minimum)] : []),
    ...(typeof maximum === "number" ? [maximum, maximum + 1, maximum + 0.5] : []),
    ...(typeof minLength === "number" ? ["x".repeat(Math.max(0, minLength - 1))] : []),
    ...(typeof maxLength === "number" ? ["x".repeat(maxLength), "é".repeat(maxLength + 1)] : []),
    ...(typeof minItems === "number" ? [list(minItems - 1)] : []),
    ...(typeof maxItems === "number" ? [list(maxItems + 1)] : []),
  ];
}
