/**
 * The strict model of answers (RFC 9112 §4, §6.3): one answer with what goes before it, and all answers of a connection. Used
 * for what an app says and for what a client gets. Written from the RFC alone; choices are said where they are made.
 */
import { readBody, RefusedBody, type Framing } from "./body.ts";
import { goesOnAfter, isToken, MAX_FIELDS, readCoding, readField, readLength, readText, Refused, trimmed, valuesOf, type Field } from "./fields.ts"; // prettier-ignore

export interface Head {
  status: number;
  fields: Field[];
}

export interface Answer extends Head {
  /** Those before it. */
  interims: Head[];
  framing: Framing;
  goesOn: boolean;
  body: string;
  trailers: Field[];
  /** False where the bytes, or the connection, end before the body does. */
  isWhole: boolean;
  /** Where what follows it begins. */
  end: number;
}

export type Read =
  | { kind: "answer"; answer: Answer }
  /** The bytes end within a head. */
  | { kind: "partial"; interims: Head[] }
  /** No answer; `begun` when its head was one, with as much of its body as was read. */
  | { kind: "refused"; interims: Head[]; begun: Answer | null };

/** `method`: of the request that is answered. `hasEnded`: the connection ended in order behind `input`. */
export function readAnswer(input: string, at: number, method: string, hasEnded: boolean): Read {
  const interims: Head[] = [];
  for (let from = at; ;) {
    const end = input.indexOf("\r\n\r\n", from);
    if ((end === -1 ? input.length : end) - from > MAX_FIELDS) return { kind: "refused", interims, begun: null };
    if (end === -1) return { kind: "partial", interims };
    try {
      const head = readHead(input.slice(from, end));
      from = end + 4;
      if (head.status >= 200) return readRest(input, from, { ...head, interims, method, hasEnded });
      // RFC 9110 §15.2.2: what was not asked for is no answer.
      if (head.status === 101) return { kind: "refused", interims, begun: null };
      interims.push(head);
    } catch (error) {
      if (error instanceof Refused) return { kind: "refused", interims, begun: null };
      throw error;
    }
  }
}

/** All answers that are whole, each to a request with one of the methods, and what follows them. */
export function readAnswers(input: string, methods: readonly string[], hasEnded: boolean): { answers: Answer[]; rest: string } {
  const answers: Answer[] = [];
  for (let at = 0; ; ) {
    if (at === input.length) return { answers, rest: "" };
    const read = readAnswer(input, at, methods[answers.length] ?? "GET", hasEnded);
    if (read.kind !== "answer" || !read.answer.isWhole) return { answers, rest: input.slice(at) };
    answers.push(read.answer);
    at = read.answer.end;
  }
} // prettier-ignore

// --- internal ---

interface Begun extends Head {
  minor: number;
  interims: Head[];
  method: string;
  hasEnded: boolean;
}

function readRest(input: string, at: number, { method, hasEnded, minor, ...head }: Begun): Read {
  const framing = readFraming(head, method);
  const goesOn = framing.kind !== "close" && goesOnAfter(minor, head.fields);
  const begun = { ...head, framing, goesOn, body: "", trailers: [], isWhole: false, end: input.length };
  try {
    const { text, trailers, end, isWhole } = readBody(input, at, framing, hasEnded);
    return { kind: "answer", answer: { ...begun, body: text, trailers, end, isWhole } };
  } catch (error) {
    if (!(error instanceof RefusedBody)) throw error;
    return { kind: "refused", interims: head.interims, begun: { ...begun, body: error.text } };
  }
}

/** RFC 9112 §4: version SP three digits SP reason. Chosen: without a reason, the space before it may be left out. */
function readHead(text: string): Head & { minor: number } {
  const [line = "", ...lines] = text.split("\r\n");
  const match = /^HTTP\/1\.(\d) ([1-9]\d\d)(?: ([^]*))?$/.exec(line);
  if (match === null) throw new Refused("RFC 9112 §4: no status line");
  readText(match[3] ?? "");
  return { status: Number(match[2]), minor: Math.min(1, Number(match[1])), fields: lines.map(readAnswerField) };
}

/** RFC 9112 §5.1: a proxy takes the space before an answer's colon out. */
function readAnswerField(line: string): Field {
  const colon = line.indexOf(":");
  const name = trimmed(line.slice(0, Math.max(0, colon)));
  return line.startsWith(name) && isToken(name) ? readField(name + line.slice(colon)) : readField(line);
}

/** RFC 9112 §6.3, rules 1 to 8. Chosen: 205 has no content (RFC 9110 §15.3.6); another coding than chunked is refused. */
function readFraming({ status, fields }: Head, method: string): Framing {
  if (method === "HEAD" || status === 204 || status === 304) return { kind: "none" };
  if (readCoding(fields) === "chunked") return { kind: "chunked" };
  const length = readLength(fields);
  if (length !== null) return { kind: "length", length };
  return status === 205 && valuesOf(fields, "transfer-encoding").length === 0 ? { kind: "none" } : { kind: "close" };
}
