/** What can be odd about a request: a change of each kind, made by chance. The first one's field is what a refusal has to name. */
import { gzipSync } from "node:zlib";
import type { Guard } from "../../coordinator/calls/document.ts";
import type { Random } from "../../faults/random.ts";
import { isRecord } from "../../../shared/values.ts";
import { hide, setHeader, type Attempt, type Given } from "./attempt.ts";
import type { Promised } from "./document.ts";
import { credentials } from "./credentials.ts";
import { bodyChange } from "./body-changes.ts";
import { fittingValue, oddText, oddValue } from "./values.ts";
import { faultsIn, type Schema } from "./schema.ts";

/** What is known of the call whose request is changed. */
export interface Asked {
  promised: Promised;
  schemas: Record<string, Schema>;
  /** The names of its path's parameters. */
  params: string[];
  path: string;
  given: Given;
}

/** Makes one change, or more. */
export async function spoil(attempt: Attempt, asked: Asked, random: Random, guard: Guard): Promise<void> {
  const { promised, params } = asked;
  const changes = [
    { weight: promised.body === null ? 0 : 16, change: bodyChange },
    { weight: promised.query.length === 0 ? 0 : 8, change: queryValue },
    { weight: 2, change: queryShape },
    { weight: params.length === 0 ? 0 : 5, change: pathValue },
    { weight: 1, change: otherPath },
    { weight: 2, change: otherMethod },
    { weight: 2, change: contentType },
    { weight: 1, change: foreignBody },
    { weight: 1, change: framing },
    { weight: 4, change: oddHeader },
    { weight: 1, change: brokenHead },
  ];
  const count = random.weighted([{ weight: 1, of: 0 }, { weight: 14, of: 1 }, { weight: 4, of: 2 }]).of; // prettier-ignore
  for (let made = 0; made < count; made++) {
    const before = attempt.wrong;
    random.weighted(changes).change(attempt, asked, random);
    // What a second change does to the first one's field is not known.
    if (made > 0) attempt.wrong = before === attempt.wrong ? null : attempt.wrong;
  }
  if (count > 1) attempt.wrong = null;
  if (random.chance(0.25)) await credentials(attempt, random, guard);
}

// --- internal ---

/** Of one parameter: a value that does not fit, or one that does. */
function queryValue(attempt: Attempt, { promised, schemas }: Asked, random: Random): void {
  const { name, schema, isRequired } = random.pick(promised.query);
  const isFitting = random.chance(0.4);
  const value = isFitting ? fittingValue(schema, schemas, random) : oddValue(schema, schemas, random);
  const text = typeof value === "string" ? value : isRecord(value) || Array.isArray(value) ? JSON.stringify(value) : String(value); // prettier-ignore
  attempt.what.push(`${name}=${JSON.stringify(text.slice(0, 60))}`);
  const others = attempt.query.filter(([one]) => one !== name);
  if (random.chance(0.1)) {
    attempt.query = others;
    if (isRequired) attempt.wrong = name;
    return;
  }
  attempt.query = [...others, [name, text.toWellFormed()]];
  hide(attempt, name, text);
  if (isWrongText(text, schema, schemas)) attempt.wrong = name;
}

/** Only what is beyond doubt: a query is text, and what a text means is the service's. */
function isWrongText(text: string, schema: Schema, schemas: Record<string, Schema>): boolean {
  const { type, format, anyOf } = schema;
  if (text === "" && Array.isArray(anyOf)) return false; // means null
  if (type === "string" && format === "uuid") return !/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i.test(text);
  if (type === "string") return faultsIn(text.toWellFormed(), schema, schemas).length > 0;
  return type === "integer" && !/^[+-]?\d+(\.\d+)?$/.test(text);
}

function queryShape(attempt: Attempt, { promised }: Asked, random: Random): void {
  const own = new URLSearchParams(attempt.query).toString();
  const name = promised.query.length > 0 ? random.pick(promised.query).name : "a";
  const more = random.pick([
    "&", "&&&&", "&=", "&=x", `&${name}`, `&${name}=`, `&${name}=1&${name}=2`, `&${name}[]=1`, `&${name}[a]=1`, "&__proto__=1",
    "&__proto__[x]=1", "&constructor=1", "&toString=1", "&%", "&%zz=%zz", "&%ff=%ff", "&a=%00", "&a=\xff\xfe", "?a=1", "&a=1#b",
    `&${"x=1&".repeat(2000)}`, `&x=${"y".repeat(8000)}`, ";a=1", "&X-BackendAI-Token=x", "&token=x",
  ]); // prettier-ignore
  attempt.what.push(`query with ${more.slice(0, 30)}`);
  attempt.rawQuery = own + more;
  // The last or the first of two counts.
  attempt.wrong = null;
}

function pathValue(attempt: Attempt, { path, params, given }: Asked, random: Random): void {
  const name = random.pick(params);
  const value = random.pick([
    "x", "%00", "%ff", "%", "%zz", "%2e%2e", "..%2f..%2fetc", "%2F", "%5c", "a%20b", "\xff\xfe", "é", "%F0%9F%92%A5", "%ed%a0%80",
    "a".repeat(4000), "null", "undefined", "0", "-1", "_", "__proto__", "constructor", ":id", "*", "{id}", ";a=b", "%3Cscript%3E",
    "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3", "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3dd", "urn%3Auuid%3A2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d",
    "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d".replaceAll("-", ""), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", random.uuid(),
  ]); // prettier-ignore
  attempt.what.push(`${name} in the path is ${value.slice(0, 40)}`);
  attempt.path = path.replaceAll(/\{(\w+)\}/g, (_whole, one: string) => one === name ? value : encodeURIComponent(String(given[one]))); // prettier-ignore
  hide(attempt, name, value);
  const isUuid = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(value);
  if (!isUuid) attempt.wrong = name;
  // Dots are taken out of a path before anybody looks, and some of these are other calls' names.
  if (value.includes("2e%2e") || value === "_") attempt.isElsewhere = true;
}

function otherPath(attempt: Attempt, _asked: Asked, random: Random): void {
  const { path } = attempt;
  const changed = random.pick([`${path}/`, `/${path}`, path.toUpperCase(), `${path}/x`, `${path}%00`, `${path};x`, `/x/..${path}`, path.replace("/", "//"), `${path}%2f`, `http://other.example${path}`, `.${path}`, "*", "", path.slice(0, -1), `${path}#x`]); // prettier-ignore
  attempt.what.push(`path ${changed.slice(0, 60)}`);
  attempt.path = changed;
  attempt.isElsewhere = true;
  attempt.isBroken ||= !changed.startsWith("/");
}

function otherMethod(attempt: Attempt, _asked: Asked, random: Random): void {
  const method = random.pick(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "QUERY", "get", "FROBNICATE", "M-SEARCH", "", "G ET"]); // prettier-ignore
  attempt.what.push(`method ${method}`);
  attempt.isElsewhere ||= attempt.method !== method;
  attempt.method = method;
  attempt.isBroken ||= !/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(method);
}

function contentType(attempt: Attempt, _asked: Asked, random: Random): void {
  const type = random.pick([undefined, "", "text/plain", "text/html", "application/xml", "multipart/form-data; boundary=x", "multipart/form-data", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "application/json; charset=", "application/json;;;", "APPLICATION/JSON", "application/problem+json", "application/json, text/plain", "a".repeat(4000), "\xff/\xfe", "application/octet-stream", "image/png"]); // prettier-ignore
  attempt.what.push(`content type ${String(type).slice(0, 40)}`);
  setHeader(attempt, "Content-Type", type);
}

/** A body in a coding, charset or amount that is not wanted, also where none is. */
function foreignBody(attempt: Attempt, _asked: Asked, random: Random): void {
  const own = attempt.body ?? Buffer.from("{}");
  const bodies: [string, () => Buffer, string?][] = [
    ["gzip", () => gzipSync(own), "gzip"],
    ["said to be gzip", () => own, "gzip"],
    ["said to be br", () => own, "br"],
    ["said to be of a coding of nobody's", () => own, "identity, x"],
    ["UTF-16", () => Buffer.from(own.toString("utf8"), "utf16le")],
    ["with a mark of its order", () => Buffer.concat([Buffer.from("efbbbf", "hex"), own])],
    ["of 1 MiB and one", () => Buffer.alloc(1024 * 1024 + 1, " ")],
    ["of 1 MiB and one, with JSON behind", () => Buffer.concat([Buffer.alloc(1024 * 1024 + 1, " "), own])],
    ["of zeros", () => Buffer.alloc(100)],
    ["of no text", () => Buffer.from("fffefdfc80c1", "hex")],
    ["none", () => Buffer.alloc(0)],
  ];
  const [name, make, coding] = random.pick(bodies);
  attempt.what.push(`body ${name}`);
  attempt.body = make();
  if (coding !== undefined) setHeader(attempt, "Content-Encoding", coding);
  attempt.wrong = null;
}

function framing(attempt: Attempt, _asked: Asked, random: Random): void {
  if (random.chance(0.5)) {
    attempt.what.push("chunked");
    attempt.framing = "chunked";
    attempt.body ??= Buffer.alloc(0);
    return;
  }
  const lines = random.pick<[string, string][]>([
    [["Content-Length", "-1"]],
    [["Content-Length", "1e3"]],
    [["Content-Length", "99999999999999999999"]],
    [["Content-Length", "5"], ["Content-Length", "6"]],
    [["Transfer-Encoding", "gzip"]],
    [["Transfer-Encoding", "chunked"], ["Content-Length", "2"]],
    [["Content-Length", String((attempt.body?.length ?? 0) + 10)]],
  ]); // prettier-ignore
  attempt.what.push(`framing ${lines.join()}`);
  attempt.framing = "of its own";
  attempt.headers.push(...lines);
  attempt.isBroken = true;
}

function oddHeader(attempt: Attempt, _asked: Asked, random: Random): void {
  const value = () => random.pick(["", "x", "\xff\xfe", "a".repeat(4000), "'", "%s%n", '"', ",", ";q=0", "__proto__", oddText(random).replaceAll(/[^\x20-\xff]/g, "").trim()]); // prettier-ignore
  const [name, text] = random.pick<() => [string, string]>([
    () => ["Accept", random.pick(["text/html", "*/*", "", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json;q=0", "application/xml", "a/b;".repeat(800), ",,,", "\xff"])],
    () => ["Accept-Language", random.pick(["ko", "ko-KR,ko;q=0.9", "xx", "*;q=9", "a,".repeat(1500), value()])],
    () => ["X-Backend-Request-ID", random.pick(["req-1", "a b", "x".repeat(129), value()])],
    () => ["X-BackendAI-RequestID", value()],
    () => ["X-Method-Override", random.pick(["GET", "DELETE", "put", "TRACE", "", "POST", value()])],
    () => ["Host", random.pick(["a", "[", "[::1]", "evil.example", "127.0.0.1:99999", "a b", "a@b", "localhost", "\xff", "x".repeat(300)])],
    () => ["Origin", random.pick(["null", "http://evil.example", value()])],
    () => ["Referer", random.pick(["http://evil.example/x?token=y", value()])],
    () => ["Sec-Fetch-Mode", random.pick(["navigate", "cors", value()])],
    () => ["X-Forwarded-For", random.pick(["10.0.0.1", "127.0.0.1, x", value()])],
    () => ["Forwarded", random.pick(["for=1.2.3.4", value()])],
    () => ["Cookie", random.pick([`appproxy_permit=${"a".repeat(2000)}`, "a=b; __proto__=1", value()])],
    () => ["Range", "bytes=0-1,2-3,-5"],
    () => ["If-None-Match", "*"],
    () => ["Expect", random.pick(["100-continue", "200-ok"])],
    () => ["Upgrade", random.pick(["websocket", "h2c", "x"])],
    () => ["Connection", random.pick(["upgrade", "close, x-backendai-token"])],
    () => [random.pick(["__proto__", "constructor", "X{A}", "a".repeat(200), "x-y"]), value()],
    () => ["traceparent", random.pick(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", value()])],
  ])(); // prettier-ignore
  attempt.what.push(`${name}: ${text.slice(0, 40)}`);
  setHeader(attempt, name, text);
  // Its own name is a way to another call; a connection that is not ended by the server is ended by us.
  if (name === "X-Method-Override" && attempt.method === "POST") attempt.isElsewhere = true;
  if (["Host", "Upgrade", "Connection", "Expect", "X{A}"].includes(name)) attempt.isBroken = true;
  if (name === "Host") attempt.wrong = null;
}

/** What can't be read as a head, and heads that are too long. */
function brokenHead(attempt: Attempt, _asked: Asked, random: Random): void {
  const lines = random.pick<[string, string][]>([
    [["a b", "c"]],
    [["x", "a\u0000b"]],
    [["x", "a\rb"]],
    [["x", "a\nb: c"]],
    [["", "x"]],
    [["Host", "a"], ["Host", "b"]],
    Array.from({ length: 250 }, (_, at) => [`x-${at}`, "y"]),
    [["x", "y".repeat(20_000)]],
    [["x", "y".repeat(70_000)]],
  ]); // prettier-ignore
  attempt.what.push(`head with ${JSON.stringify(lines[0]).slice(0, 40)}`);
  attempt.headers.push(...lines);
  attempt.isBroken = true;
}
