/**
 * Field lines as RFC 9112 §5 and RFC 9110 §5 write them, for the model that the product is compared with. Nothing here comes
 * from the product. One character is one byte (latin1).
 */

/** A head, and trailers, of more bytes are refused. RFC 9110 §5.4 leaves the number to the receiver. */
export const MAX_FIELDS = 65_536;

export interface Field {
  /** In lower case. */
  name: string;
  /** Without the spaces around it. */
  value: string;
}

/** What is no message. */
export class Refused extends Error {
  /** What a client is to be told: 505 for another major version, else something of 400 to 499. */
  readonly status: 400 | 505;

  constructor(message: string, status: 400 | 505 = 400) {
    super(message);
    this.name = "Refused";
    this.status = status;
  }
}

/** RFC 9110 §5.6.2. */
const TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** RFC 9110 §5.6.2. */
export function isToken(text: string): boolean {
  if (text === "") return false;
  for (const one of text) if (!TCHAR.includes(one)) return false;
  return true;
}

/**
 * RFC 9110 §5.5, RFC 9112 §5.1, §5.2: one line without its CRLF. No space before the colon, no line folding, no control
 * character but HTAB. Throws Refused.
 */
export function readField(line: string): Field {
  const colon = line.indexOf(":");
  const name = colon === -1 ? "" : line.slice(0, colon);
  if (!isToken(name)) throw new Refused("RFC 9112 §5: a field is a token, a colon and a value");
  return { name: name.toLowerCase(), value: readText(trimmed(line.slice(colon + 1))) };
}

/** RFC 9110 §5.5: field-vchar, SP and HTAB. Throws Refused. */
export function readText(text: string): string {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code < 32 && code !== 9) || code === 127) throw new Refused("RFC 9110 §5.5: no control characters");
  }
  return text;
}

/** RFC 9110 §5.6.3: OWS is spaces and tabs, and nothing else that programs call a space. */
export function trimmed(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isBlank(text[from])) from++;
  while (from < to && isBlank(text[to - 1])) to--;
  return text.slice(from, to);
}

/** The values of all lines of a name. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter((field) => field.name === name).map(({ value }) => value);
}

/** RFC 9110 §5.6.1: the members of a list over all lines of a name, in lower case. */
export function membersOf(fields: readonly Field[], name: string): string[] {
  return valuesOf(fields, name)
    .join(",")
    .split(",")
    .map((one) => trimmed(one).toLowerCase())
    .filter((one) => one !== "");
}

/**
 * RFC 9112 §6.3, rule 5: one line, digits alone. A repeated length may be accepted by the RFC; here it is refused, for the
 * next reader may take the other one. At most 15 digits, so that a number holds it (RFC 9110 §8.6). Throws Refused.
 */
export function readLength(fields: readonly Field[]): number | null {
  const [given, ...more] = valuesOf(fields, "content-length");
  if (given === undefined) return null;
  const isNumber = given !== "" && given.length <= 15 && [...given].every((one) => one >= "0" && one <= "9");
  if (more.length > 0 || !isNumber) throw new Refused("RFC 9112 §6.3: one length, of digits");
  return Number(given);
}

/** RFC 9112 §6.1: chunked, once, as the only coding: no other is known here. Throws Refused. */
export function readCoding(fields: readonly Field[]): "chunked" | null {
  const given = valuesOf(fields, "transfer-encoding");
  if (given.length === 0) return null;
  if (given.length > 1 || given[0]?.toLowerCase() !== "chunked") throw new Refused("RFC 9112 §6.1: chunked alone");
  return "chunked";
}

/** RFC 9112 §9.3. */
export function goesOnAfter(minor: number, fields: readonly Field[]): boolean {
  const options = membersOf(fields, "connection");
  if (options.includes("close")) return false;
  return minor > 0 || options.includes("keep-alive");
}

/**
 * RFC 9110 §6.5.1: the trailers that must pass. Chosen: names of a head's alone may be left out, so those with X- are looked at,
 * but for those that say where a message comes from.
 */
export function trailing(trailers: readonly Field[]): Field[] {
  return trailers.filter(({ name }) => name.startsWith("x-") && !name.startsWith("x-forwarded"));
}

// --- internal ---

function isBlank(one: string | undefined): boolean {
  return one === " " || one === "\t";
}
