/** One request of the attack, before it is bytes: a good one of its call, in which changes make something odd. */
import { isRecord } from "../../../shared/values.ts";
import { jsonText } from "./json.ts";

/** The request's parts as they will stand on the wire. */
export interface Attempt {
  /** What is odd about it, in words. */
  what: string[];
  method: string;
  /** Path and query, in any bytes (latin1). */
  path: string;
  query: [name: string, value: string][];
  /** What stands in the query's place. */
  rawQuery: string | null;
  headers: [name: string, value: string][];
  body: Buffer | null;
  framing: "length" | "chunked" | "of its own";
  /** Whoever has no right to this call is to learn nothing of the rest. */
  isStranger: boolean;
  /** It may be another call's by now, or none's. */
  isElsewhere: boolean;
  /** It is no HTTP: the server may end it without a word. */
  isBroken: boolean;
  /** A field whose value the document does not allow: it has to be refused by its name. */
  wrong: string | null;
  /** What no answer may have. */
  secrets: string[];
  /** What no refusal may repeat: it might have been a token or a key. */
  hidden: string[];
}

/** What a call is given: its path's parameters, its query, its body. */
export type Given = Record<string, unknown> & { query?: Record<string, unknown>; body?: unknown };

/** A good request of a call, from somebody who holds the secret. */
export function goodAttempt(method: string, path: string, given: Given, secret: string): Attempt {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => encodeURIComponent(String(given[name])));
  const query = Object.entries(given.query ?? {}).filter(([, value]) => value != null);
  return {
    what: [],
    method,
    path: filled,
    query: query.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
    rawQuery: null,
    headers: [
      ["Accept", "application/json"],
      ["X-BackendAI-Token", secret],
      ...(given.body === undefined ? [] : [["Content-Type", "application/json"] as [string, string]]),
    ],
    body: given.body === undefined ? null : Buffer.from(jsonText(given.body)),
    framing: "length",
    isStranger: false,
    isElsewhere: false,
    isBroken: false,
    wrong: null,
    secrets: [secret],
    hidden: hiddenIn(given),
  };
}

/** Notes a value of a field, if it is one of those that are hidden (`coordinator/http/validation.ts`). */
export function hide({ hidden }: Pick<Attempt, "hidden">, field: string, value: unknown): void {
  if (HIDDEN.test(field) && typeof value === "string" && value.length >= TELLING) hidden.push(value.slice(0, SHOWN));
}

/** Sets a header in the place of those of its name; undefined takes them away. */
export function setHeader(attempt: Attempt, name: string, value: string | undefined): void {
  attempt.headers = attempt.headers.filter(([one]) => one.toLowerCase() !== name.toLowerCase());
  if (value !== undefined) attempt.headers.push([name, value]);
}

/** The bytes for a server that is called `host`. */
export function bytesOf(attempt: Attempt, host: string): Buffer {
  const { method, path, query, rawQuery, headers, body, framing } = attempt;
  const named = (name: string) => headers.some(([one]) => one.toLowerCase() === name);
  const text = rawQuery ?? new URLSearchParams(query).toString();
  const lines = [
    ...(named("host") ? [] : [["Host", host]]),
    ...headers,
    ...(body !== null && framing === "length" ? [["Content-Length", String(body.length)]] : []),
    ...(body !== null && framing === "chunked" ? [["Transfer-Encoding", "chunked"]] : []),
    ...(named("connection") ? [] : [["Connection", "close"]]),
  ];
  const head = `${method} ${path}${text === "" ? "" : `?${text}`} HTTP/1.1\r\n${lines.map((line) => `${line.join(": ")}\r\n`).join("")}\r\n`; // prettier-ignore
  return Buffer.concat([Buffer.from(head, "latin1"), ...(body === null ? [] : framed(body, framing))]);
}

/** A head that is longer than a service reads, or has more lines (security 11): 431, before anybody knows whose it is. */
export function isTooLong(bytes: Buffer): boolean {
  const head = bytes.subarray(0, bytes.indexOf("\r\n\r\n"));
  return head.length > MAX_HEAD || head.toString("latin1").split("\r\n").length > MAX_LINES;
}

/** Where in a body a value may stand, with the names that lead there. */
export function replacedAt(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return by;
  if (Array.isArray(value)) return value.map((one: unknown, at) => (at === first ? replacedAt(one, rest, by) : one));
  const own = isRecord(value) ? value : {};
  return { ...own, [first]: replacedAt(own[first], rest, by) };
}

// --- internal ---

const HIDDEN = /(token|access_key)$/;
/** Shorter texts may stand in an answer for another reason. */
const TELLING = 20;
/** A refusal shows the beginning of a long value. */
const SHOWN = 60;

function hiddenIn(value: unknown): string[] {
  const found = { hidden: [] as string[] };
  if (isRecord(value))
    for (const [name, inner] of Object.entries(value)) {
      hide(found, name, inner);
      found.hidden.push(...hiddenIn(inner));
    }
  return found.hidden;
}

/** A little below what is counted there. */
const MAX_HEAD = 16_000;
const MAX_LINES = 190;

function framed(body: Buffer, framing: Attempt["framing"]): Buffer[] {
  if (framing !== "chunked") return [body];
  const half = Math.ceil(body.length / 2);
  const chunks = [body.subarray(0, half), body.subarray(half)].filter(({ length }) => length > 0);
  return [...chunks.map((one) => Buffer.from(`${one.length.toString(16)}\r\n${one.toString("latin1")}\r\n`, "latin1")), Buffer.from("0\r\n\r\n")]; // prettier-ignore
}
