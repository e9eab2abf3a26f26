/**
 * The strict model of a stream of requests (RFC 9112): which of them are accepted, in order, and how the stream stops. Written
 * from the RFC alone; where that leaves a choice, the line says what was chosen.
 */
import { readBody, RefusedBody, type Framing } from "./body.ts";
import { goesOnAfter, isToken, MAX_FIELDS, membersOf, readCoding, readField, readLength, Refused, valuesOf, type Field } from "./fields.ts"; // prettier-ignore

export interface Request {
  method: string;
  /** Path and query, or "*": of an absolute target too. */
  target: string;
  minor: number;
  fields: Field[];
  framing: Framing;
  goesOn: boolean;
  /** It is a message, but not one for the app: the status of its answer. */
  refusedWith: 400 | 405 | null;
  body: string;
  trailers: Field[];
  /** Where what follows it begins. */
  end: number;
}

/** Why no further request is read. */
export type Stop =
  /** All bytes are of requests. */
  | { kind: "whole" }
  /** A request ended the connection (RFC 9112 §9.3, §9.6): what follows is nobody's. */
  | { kind: "closed" }
  /** The bytes end within a message; `asked` when its head was whole. */
  | { kind: "partial"; asked: Request | null }
  /** What follows is no message; `asked` when its head was one. */
  | { kind: "refused"; status: 400 | 505; asked: Request | null };

export interface Verdict {
  requests: Request[];
  stop: Stop;
  /** Where the stop is. */
  at: number;
}

/** Reads all requests of a stream. `maxHead`: bytes of a head; an app allows for what a proxy adds. */
export function readRequests(input: string, maxHead = MAX_FIELDS): Verdict {
  const requests: Request[] = [];
  for (let at = 0; ;) {
    // RFC 9112 §2.2: empty lines before a request line are passed over.
    while (input.startsWith("\r\n", at)) at += 2;
    if (at === input.length) return { requests, stop: { kind: "whole" }, at };
    const one = readRequest(input, at, maxHead);
    if ("kind" in one) return { requests, stop: one, at };
    requests.push(one);
    at = one.end;
    if (!one.goesOn) return { requests, stop: { kind: "closed" }, at };
  }
}

// --- internal ---

function readRequest(input: string, at: number, maxHead: number): Request | Stop {
  const end = input.indexOf("\r\n\r\n", at);
  const length = (end === -1 ? input.length : end + 4) - at;
  if (length > maxHead || (end === -1 && length === maxHead)) return { kind: "refused", status: 400, asked: null };
  if (end === -1) return { kind: "partial", asked: null };
  let asked: Request | null = null;
  try {
    asked = readHead(input.slice(at, end));
    // RFC 9112 §9.6: who does not read a body can't tell what follows it.
    if (asked.refusedWith !== null) return { ...withoutBody(asked), end: end + 4 };
    const body = readBody(input, end + 4, asked.framing, false);
    const request = { ...asked, body: body.text, trailers: body.trailers, end: body.end };
    return body.isWhole ? request : { kind: "partial", asked: request };
  } catch (error) {
    if (error instanceof RefusedBody && asked !== null)
      return { kind: "refused", status: 400, asked: { ...asked, body: error.text } };
    if (error instanceof Refused) return { kind: "refused", status: error.status, asked: null };
    throw error;
  }
}

function withoutBody(request: Request): Request {
  const { kind } = request.framing;
  const hasNone = kind === "none" || (request.framing.kind === "length" && request.framing.length === 0);
  return { ...request, goesOn: request.goesOn && hasNone };
}

/** RFC 9112 §2.1, §3. */
function readHead(head: string): Request {
  const [line = "", ...lines] = head.split("\r\n");
  const { method, target, minor } = readRequestLine(line);
  const fields = lines.map(readField);
  const framing = readFraming(minor, fields);
  const hosts = valuesOf(fields, "host");
  // RFC 9112 §3.2: one Host; HTTP/1.0 may have none.
  if (hosts.length > 1 || (hosts.length === 0 && minor > 0)) throw new Refused("RFC 9112 §3.2: one Host");
  const form = readTarget(method, target);
  const host = hosts[0] ?? null;
  // RFC 9112 §3.2.2 lets a proxy replace Host by what the target names; chosen: they are to agree.
  if (form.authority !== null && host !== null && form.authority.toLowerCase() !== host.toLowerCase())
    throw new Refused("RFC 9112 §3.2.2: the target and Host name the same");
  const named = form.authority ?? host;
  // RFC 9110 §9.3.6, §9.3.8: neither is of use for an app.
  const isForeign = method === "CONNECT" || method === "TRACE";
  const refusedWith = isForeign ? 405 : named !== null && !isHost(named) ? 400 : null;
  const goesOn = goesOnAfter(minor, fields);
  return { method, target: form.target, minor, fields, framing, goesOn, refusedWith, body: "", trailers: [], end: 0 };
}

/** RFC 9112 §3: method SP target SP version, nothing else. */
function readRequestLine(line: string): { method: string; target: string; minor: number } {
  const [method = "", target = "", version = "", ...more] = line.split(" ");
  const { major, minor } = readVersion(version);
  if (more.length > 0 || !isToken(method) || !isTarget(target)) throw new Refused("RFC 9112 §3: no request line");
  if (major !== 1) throw new Refused("RFC 9110 §15.6.6: another major version", 505);
  return { method, target, minor };
}

/** RFC 9112 §2.3. A higher minor version is read as the highest that is known. */
function readVersion(text: string): { major: number; minor: number } {
  const match = /^HTTP\/(\d)\.(\d)$/.exec(text);
  if (match === null) throw new Refused("RFC 9112 §2.3: no version");
  return { major: Number(match[1]), minor: Math.min(1, Number(match[2])) };
}

/** RFC 9112 §3.2: no space, no control character, no fragment. Chosen: all else, and bytes above 127, are the app's to judge. */
function isTarget(target: string): boolean {
  if (target === "") return false;
  for (let at = 0; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code < 33 || code === 35 || code === 127) return false;
  }
  return true;
}

/** RFC 9112 §3.2.1, §3.2.2, §3.2.3, §3.2.4. `authority` of an absolute target alone. */
function readTarget(method: string, target: string): { target: string; authority: string | null } {
  const scheme = ["http://", "https://"].find((one) => target.toLowerCase().startsWith(one));
  if (scheme !== undefined) {
    const rest = target.slice(scheme.length);
    const path = rest.search(/[/?]/);
    const [authority, tail] = path === -1 ? [rest, ""] : [rest.slice(0, path), rest.slice(path)];
    // RFC 9110 §7.1: a fragment is no part of a target.
    if (tail.startsWith("#")) throw new Refused("RFC 9112 §3.2.2: no path");
    const empty = method === "OPTIONS" ? "*" : "/";
    return { authority, target: tail === "" ? empty : tail.startsWith("?") ? `/${tail}` : tail };
  }
  const isOwn = target.startsWith("/") || (target === "*" && method === "OPTIONS") || method === "CONNECT";
  if (!isOwn) throw new Refused("RFC 9112 §3.2: none of the four forms");
  return { target, authority: null };
}

/** RFC 9110 §7.2, RFC 3986 §3.2.2. Chosen: names of unreserved characters, addresses in brackets, a port of five digits. */
function isHost(text: string): boolean {
  return /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f.:]+\])(?::[0-9]{1,5})?$/.test(text);
}

/** RFC 9112 §6.1, §6.3. Both a length and chunks may be accepted by the RFC; chosen: they are refused. */
function readFraming(minor: number, fields: readonly Field[]): Framing {
  const [coding, length] = [readCoding(fields), readLength(fields)];
  if (coding === null) return length === null ? { kind: "none" } : { kind: "length", length };
  if (length !== null) throw new Refused("RFC 9112 §6.1: a length beside chunks");
  if (minor === 0) throw new Refused("RFC 9112 §6.1: HTTP/1.0 has no chunks");
  return { kind: "chunked" };
}

/**
 * RFC 9110 §7.6.1: what ends at a proxy, and what a proxy says itself. The rest must pass as it came. Chosen: a Cookie without
 * any is left out.
 */
export function passing({ fields }: Request): string[] {
  const named = new Set(membersOf(fields, "connection"));
  for (const kept of ["host", "content-length", "cookie"]) named.delete(kept);
  if (valuesOf(fields, "cookie").join("") === "") named.add("cookie");
  return fields
    .filter(({ name }) => !named.has(name) && !isOfOneHop(name))
    .map(({ name, value }) => `${name}: ${value}`);
}

/** With `_` too: a gateway of CGI reads both alike. */
function isOfOneHop(name: string): boolean {
  const plain = name.replaceAll("_", "-");
  const own = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "forwarded"];
  return own.includes(plain) || plain.startsWith("proxy-") || plain.startsWith("x-forwarded-") || OF_FRAMING.has(name);
}

/** Compared otherwise: by what the message is. */
const OF_FRAMING = new Set(["host", "content-length", "expect"]);
