/** Valid requests of all kinds: methods, targets, versions, shapes of header lines, bodies, expectations, upgrades. */
import type { Random } from "../../faults/random.ts";
import { chunkOf, type ChunkedBody, type Draft } from "./draft.ts";

const METHODS = ["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "PROPFIND", "M-SEARCH", "TRACE"]; // prettier-ignore
const NAMES = ["X-A", "x-b", "X-Long-Name", "Accept", "User-Agent", "Cookie", "Cache-Control", "X!#$%&'*+.^_`|~9"];
const VALUES = [
  "1",
  "",
  "a b",
  "a, b;q=0.5",
  "\"quoted, 'too'\"",
  "text/html,*/*",
  "a=b; c=d",
  "x:y",
  "\x80\xfe\xff",
  "a\tb",
];
const EXTENSIONS = ["", "", "", ";a", ";a=b", ';a="b;c"', " ; a=1", ";a;b=2"];
const TRAILERS = ["X-Sum: 1", "X-Sum: 2", "Server-Timing: a", "x-empty:"];
/** What a body may hold that a confused reader would take for messages. */
export const BAITS = ["GET /bait HTTP/1.1\r\nHost: me\r\n\r\n", "0\r\n\r\n", "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]; // prettier-ignore

/** A valid request; `name` is part of its target. */
export function validRequest(random: Random, name: string): Draft {
  const method = random.pick(METHODS);
  const version = random.chance(0.1) ? random.pick(["HTTP/1.0", "HTTP/1.2"]) : "HTTP/1.1";
  const draft: Draft = { method, target: targetOf(random, method, name), version, fields: ["Host: me"], body: { kind: "none" } };
  if (method !== "TRACE" && random.chance(method === "GET" || method === "HEAD" ? 0.15 : 0.7)) addBody(draft, random);
  for (let more = random.between(0, 3); more > 0; more--) draft.fields.push(fieldOf(random));
  if (random.chance(0.05) && method !== "TRACE") Object.assign(draft, { method: "CONNECT", target: "me:443" });
  addConnection(draft, random);
  if (random.chance(0.3)) shuffle(draft.fields, random);
  return draft;
} // prettier-ignore

/** A text for a body, now and then a bait, rarely a long one. */
export function bodyText(random: Random): string {
  if (random.chance(0.02)) return "long ".repeat(random.between(200, 30_000));
  const parts = Array.from({ length: random.between(0, 3) }, () =>
    random.chance(0.3) ? random.pick(BAITS) : "abcdefghijklmnopqrstuvwxyz\x00\xff\r\n".slice(random.between(0, 25)),
  );
  return parts.join("");
}

/** A body in chunks. */
export function chunkedBody(random: Random): ChunkedBody {
  const chunks = Array.from({ length: random.between(0, 4) }, () => {
    const data = bodyText(random);
    return chunkOf(data === "" ? "x" : data, random.pick(EXTENSIONS));
  });
  const trailers = random.chance(0.3) ? [random.pick(TRAILERS), random.pick(TRAILERS)] : [];
  return { kind: "chunked", chunks, last: random.pick(["0\r\n", "0\r\n", "0\r\n", "000\r\n", "0;a=b\r\n"]), trailers };
}

// --- internal ---

function targetOf(random: Random, method: string, name: string): string {
  const path = `/${name}${random.pick(["", "", "?q=1", "/a%20b", "?http://x/", "//x", ";p", "/\x80"])}`;
  if (method === "OPTIONS" && random.chance(0.3)) return "*";
  return random.chance(0.1) ? `${random.pick(["http://me", "https://ME", "HTTP://me"])}${path}` : path;
}

function addBody(draft: Draft, random: Random): void {
  const inChunks = draft.version !== "HTTP/1.0" && random.chance(0.5);
  draft.body = inChunks ? chunkedBody(random) : { kind: "length", text: bodyText(random) };
  if (draft.body.kind === "length") draft.fields.push(`${random.pick(["Content-Length", "content-length"])}: ${draft.body.text.length}`);
  else draft.fields.push(random.pick(["Transfer-Encoding: chunked", "transfer-encoding:Chunked", "Transfer-Encoding: \tchunked "]));
  if (random.chance(0.05)) draft.fields.push("Expect: 100-continue");
} // prettier-ignore

function fieldOf(random: Random): string {
  return `${random.pick(NAMES)}:${random.pick(["", " ", " \t"])}${random.pick(VALUES)}${random.pick(["", "", " "])}`;
}

/** Mostly connections go on: what follows a message is what a smuggler is after. */
function addConnection(draft: Draft, random: Random): void {
  const { fields, version } = draft;
  const chance = random.next();
  if (version === "HTTP/1.0" && random.chance(0.7)) fields.push("Connection: keep-alive");
  else if (chance < 0.03) fields.push(random.pick(["Connection: close", "Connection: X-A, Close"]));
  else if (chance < 0.08) fields.push("Connection: Upgrade", `Upgrade: ${random.pick(["echo", "h2c", "a/1, b"])}`);
  else if (chance < 0.13)
    fields.push(random.pick(["Connection: X-A, x-b", "Connection: TE", "Connection:", "Connection: ,,"]));
}

function shuffle(list: unknown[], random: Random): void {
  for (let at = list.length - 1; at > 0; at--) {
    const other = random.between(0, at);
    [list[at], list[other]] = [list[other], list[at]];
  }
}
