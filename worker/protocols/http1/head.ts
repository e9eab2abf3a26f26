/**
 * Heads of HTTP/1 messages, read strictly, to be held against RFC 9112 line by line. What a lenient reader would guess
 * is refused: the next one on the way may guess otherwise. One character is one byte (latin1). Pure.
 *
 * | RFC 9112 | here |
 * |---|---|
 * | 2.2 a line ends with CRLF; a bare CR or LF is none; no space before the first field | `parseFields` takes no other |
 * | 3 request-line: method SP target SP version, single spaces | `REQUEST_LINE` |
 * | 2.3 a higher minor version is taken for the highest known; another major version is refused (505) | `versionOf` |
 * | 4 status-line: version SP 3 digits SP reason | `STATUS_LINE` |
 * | 5.1 no space between name and colon | `parseFields`; of an answer it is taken out (`tidy`) |
 * | 5.2 obs-fold is refused | a line that begins with a space has no name |
 * | RFC 9110 §5.5 no CTL in a value but HTAB | `IN_VALUE` |
 */
import { FieldLines } from "./field-lines.ts";

/** Of a head, its last empty line included. Bytes. */
export const MAX_HEAD = 64 * 1024;

export type Version = "1.0" | "1.1";

export interface RequestHead {
  method: string;
  /** As it came. */
  target: string;
  version: Version;
  lines: FieldLines;
}

export interface AnswerHead {
  status: number;
  reason: string;
  version: Version;
  lines: FieldLines;
}

/** What is no head. `status` is what a client is told; an app's is 502 whatever it says here. */
export class BadHead extends Error {
  readonly status: 400 | 505;

  constructor(message: string, status: 400 | 505 = 400) {
    super(message);
    this.name = "BadHead";
    this.status = status;
  }
}

/** `text`: the head up to and with the CRLF of its last field; `fields` reads its field lines. Throws BadHead. */
export function parseRequest(text: string, fields: (text: string) => FieldLines = parseFields): RequestHead {
  const end = text.indexOf("\r\n");
  const [, method, target, major, minor] = REQUEST_LINE.exec(text.slice(0, end)) ?? [];
  if (method === undefined || target === undefined)
    throw new BadHead("Request line: wanted a method, a target and a version, with single spaces between");
  return { method, target, version: versionOf(major, minor), lines: fields(text.slice(end + 2)) };
}

/** The same of an answer. Throws BadHead. */
export function parseAnswer(text: string): AnswerHead {
  const end = text.indexOf("\r\n");
  const [, major, minor, status, reason = ""] = STATUS_LINE.exec(text.slice(0, end)) ?? [];
  if (status === undefined) throw new BadHead("Status line: wanted a version and a status of three digits");
  return {
    status: Number(status),
    reason,
    version: versionOf(major, minor),
    lines: parseFields(tidy(text.slice(end + 2))),
  };
}

/** Field lines of a head, or of trailers; each ends with CRLF. Throws BadHead. */
export function parseFields(text: string): FieldLines {
  const names: string[] = [];
  const starts = [0];
  for (let at = 0; at < text.length;) {
    const colon = behind(text, at, IN_NAME);
    const end = behind(text, colon + 1, IN_VALUE);
    if (colon === at || text[colon] !== ":" || text[end] !== "\r" || text[end + 1] !== "\n")
      throw new BadHead(faultOf(text));
    names.push(text.slice(at, colon).toLowerCase());
    at = end + 2;
    starts.push(at);
  }
  return new FieldLines(text, names, starts);
}

// --- internal ---

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const VALUE = "[\\t\\x20-\\x7e\\x80-\\xff]*";
/** A target has no space, no CTL and no fragment (RFC 9112 §3.2). Bytes above 127 pass: they are the app's to judge. */
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21\\x22\\x24-\\x7e\\x80-\\xff]+) HTTP/([0-9])\\.([0-9])$`);
/** Many leave out the space before an empty reason. */
const STATUS_LINE = new RegExp(`^HTTP/([0-9])\\.([0-9]) ([1-9][0-9]{2})(?: (${VALUE}))?$`);
/** Which bytes may stand in a name and in a value, one entry a byte. A pattern over all lines takes three times as long. */
const [IN_NAME, IN_VALUE] = [TOKEN, VALUE].map((pattern) => {
  const whole = new RegExp(`^${pattern}$`);
  return Uint8Array.from({ length: 256 }, (_, byte) => Number(whole.test(String.fromCharCode(byte))));
}) as [Uint8Array, Uint8Array];
const FIELD = new RegExp(`^${TOKEN}:${VALUE}$`);
const SPACE_BEFORE_COLON = new RegExp(`^(${TOKEN})[\\t ]+:`, "gm");

/** The place of the first character from `at` on that may not stand there. */
function behind(text: string, at: number, allowed: Uint8Array): number {
  while (allowed[text.charCodeAt(at)] === 1) at++;
  return at;
}

function versionOf(major: string | undefined, minor: string | undefined): Version {
  if (major !== "1") throw new BadHead("Version: wanted HTTP/1.0 or HTTP/1.1", 505);
  return minor === "0" ? "1.0" : "1.1";
}

/** RFC 9112 §5.1: of an answer a proxy takes the space before a colon out. */
function tidy(fields: string): string {
  return fields.includes(" :") || fields.includes("\t:") ? fields.replace(SPACE_BEFORE_COLON, "$1:") : fields;
}

/** Names the line, never its value: that may be a secret. */
function faultOf(fields: string): string {
  const lines = fields.split("\r\n");
  const at = lines.findIndex((line, at) => !FIELD.test(line) && at < lines.length - 1);
  const name = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?=[\t ]*:)/.exec(lines[at] ?? "")?.[0] ?? "a field";
  return `Header line ${at + 1} (${name}): wanted a name, a colon and a value, without control characters`;
}
