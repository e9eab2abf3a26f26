/** Bodies as RFC 9112 §6, §7.1 delimit them, for the model that the product is compared with. */
import { MAX_FIELDS, readField, Refused, type Field } from "./fields.ts";

export type Framing = { kind: "none" } | { kind: "length"; length: number } | { kind: "chunked" } | { kind: "close" };

/** A body, as far as it has come. */
export interface Body {
  /** Without chunk lines. */
  text: string;
  trailers: Field[];
  /** Where what follows it begins. */
  end: number;
  isWhole: boolean;
}

/** What is no chunked body; `text` is what had been read of it. */
export class RefusedBody extends Refused {
  readonly text: string;

  constructor(message: string, text: string) {
    super(message);
    this.name = "RefusedBody";
    this.text = text;
  }
}

/** A chunk's line of more bytes is refused: RFC 9112 §7.1.1 leaves the number to the receiver. CRLF included. */
const MAX_SIZE_LINE = 4096;
/** So many digits a number holds exactly (RFC 9112 §7.1: no overflow). */
const MAX_DIGITS = 13;

/** Reads a body from `at`. `hasEnded`: no more bytes come. Throws RefusedBody. */
export function readBody(input: string, at: number, framing: Framing, hasEnded: boolean): Body {
  switch (framing.kind) {
    case "none":
      return { text: "", trailers: [], end: at, isWhole: true };
    case "length": {
      const text = input.slice(at, at + framing.length);
      return { text, trailers: [], end: at + text.length, isWhole: text.length === framing.length };
    }
    case "close":
      return { text: input.slice(at), trailers: [], end: input.length, isWhole: hasEnded };
    case "chunked":
      return readChunks(input, at);
  }
}

// --- internal ---

/** RFC 9112 §7.1: chunk = size [ ext ] CRLF data CRLF. */
function readChunks(input: string, start: number): Body {
  let [at, text] = [start, ""];
  const partial = () => ({ text, trailers: [], end: input.length, isWhole: false });
  for (;;) {
    const end = input.indexOf("\n", at);
    if ((end === -1 ? input.length : end + 1) - at > MAX_SIZE_LINE) throw new RefusedBody("a chunk line is long", text);
    if (end === -1) return partial();
    const size = readSize(input.slice(at, end + 1), text);
    at = end + 1;
    if (size === 0) return readTrailers(input, at, text);
    text += input.slice(at, at + size);
    at += size;
    if (at >= input.length) return partial();
    const mark = input.slice(at, at + 2);
    // What is longer or other than CRLF is told by its line's end, or as soon as it can't be one.
    if (mark === "\r") return partial();
    if (mark !== "\r\n" && isRefusable(input, at)) throw new RefusedBody("RFC 9112 §7.1: CRLF behind a chunk", text);
    if (mark !== "\r\n") return partial();
    at += 2;
  }
}

/** A line that has not ended can still only be wrong; who refuses it may wait for its end. */
function isRefusable(input: string, at: number): boolean {
  const end = input.indexOf("\n", at);
  return end !== -1 || input.length - at > MAX_SIZE_LINE;
}

/**
 * RFC 9112 §7.1, §7.1.1: hexadecimal digits, then nothing or an extension, with spaces before its semicolon. What an
 * extension says is passed over, but it has no control character, so that its line can't end twice.
 */
function readSize(line: string, before: string): number {
  const refuse = (): never => {
    throw new RefusedBody("RFC 9112 §7.1: a size, perhaps an extension, and CRLF", before);
  };
  if (!line.endsWith("\r\n")) refuse();
  let digits = 0;
  while ("0123456789abcdefABCDEF".includes(line[digits] ?? "-")) digits++;
  if (digits === 0 || digits > MAX_DIGITS) refuse();
  let at = digits;
  while (line[at] === " " || line[at] === "\t") at++;
  const rest = line.slice(at, -2);
  if (rest === "" ? at > digits : !rest.startsWith(";")) refuse();
  for (let index = 0; index < rest.length; index++) {
    const code = rest.charCodeAt(index);
    if ((code < 32 && code !== 9) || code === 127) refuse();
  }
  return Number.parseInt(line.slice(0, digits), 16);
}

/** RFC 9112 §7.1.2. */
function readTrailers(input: string, start: number, text: string): Body {
  const lines: string[] = [];
  for (let at = start; ;) {
    const end = input.indexOf("\n", at);
    if ((end === -1 ? input.length : end + 1) - start > MAX_FIELDS) throw new RefusedBody("trailers are long", text);
    if (end === -1) return { text, trailers: [], end: input.length, isWhole: false };
    const line = input.slice(at, end + 1);
    at = end + 1;
    if (!line.endsWith("\r\n")) throw new RefusedBody("RFC 9112 §2.2: a line ends with CRLF", text);
    if (line === "\r\n") return { text, trailers: lines.map((one) => trailer(one, text)), end: at, isWhole: true };
    lines.push(line.slice(0, -2));
  }
}

function trailer(line: string, text: string): Field {
  try {
    return readField(line);
  } catch (error) {
    if (error instanceof Refused) throw new RefusedBody(error.message, text);
    throw error;
  }
}
