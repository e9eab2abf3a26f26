/** What smuggling attacks are made of: one part of a request is changed, or a byte of what it makes. */
import type { Random } from "../../faults/random.ts";
import { chunkOf, written, type Chunk, type ChunkedBody, type Draft } from "./draft.ts";
import { BAITS, chunkedBody } from "./requests.ts";

/** Changes one thing, and gives the bytes. */
export function mutated(draft: Draft, random: Random): string {
  if (random.chance(0.35)) return scarred(written(draft), random);
  random.pick(PARTS)(draft, random);
  return written(draft);
}

/** The bytes after a change that knows nothing of messages. */
export function scarred(text: string, random: Random): string {
  const at = placeIn(text, random);
  const odd = random.pick(ODD);
  switch (random.between(0, 8)) {
    case 0:
      return text.slice(0, at) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + odd + text.slice(at + 1);
    case 2:
      return text.slice(0, at) + text.slice(Math.max(0, at - random.between(1, 8)), at) + text.slice(at);
    case 3:
      return text.slice(0, at);
    case 4:
      return text + random.pick(BAITS);
    case 5:
      return text.slice(0, at) + random.pick(BAITS) + text.slice(at);
    case 6:
      return withOtherLineEnd(text, random);
    default:
      return text.slice(0, at) + odd + text.slice(at);
  }
}

// --- internal ---

const ODD = ["\0", "\r", "\n", "\t", " ", ":", ";", ",", "\x7f", "\x80", "\x0b", "\x0c", "0", "f", "\r\n", "\r\n\r\n", "\n\n", "\r\r\n", " \r\n", "\x85", "\xa0", "\x1f", "-", "+", "_", "\\", '"']; // prettier-ignore
const LENGTHS = ["+5", "-1", "5, 5", "5,6", "5 5", "0x5", "05", "", " ", "5;", "1e1", "5.0", "0", "\x0b5", "\xa05", "9007199254740993", "99999999999999999999", "18446744073709551621", "5\t", "\t5", "0000000000000005", "5\x00", "４", "²"].map((one) => Buffer.from(one, "utf8").toString("latin1")); // prettier-ignore
const CODINGS = ["chunked", "Chunked", "CHUNKED ", "xchunked", "chunkedx", "chunked, chunked", "chunked,identity", "identity", "identity, chunked", "gzip, chunked", "chunked;q=1", "\x0bchunked", "chunked\x00", '"chunked"', "'chunked'", ",chunked", "chunked,", "", "\tchunked\t", "cow", "chun ked", "\xa0chunked", "chunKed", "chu\x85nked", "trailers, chunked", "chunked\r\n , identity"]; // prettier-ignore
const NAMES = ["Transfer-Encoding ", "Transfer-Encoding\t", " Transfer-Encoding", "Transfer_Encoding", "Transfer Encoding", "Transfer\0-Encoding", "X: a\nTransfer-Encoding", "X: a\rTransfer-Encoding", "Transfer-\r\n Encoding", "transfer-encodinG", "Transfer-Encoding:", "\x80Transfer-Encoding", "Content-Length ", "Content_Length", "\tContent-Length", "Content-Length\x0b", "X: a\rContent-Length", "\rContent-Length"]; // prettier-ignore
const LINES = ["garbage", ": x", "X", " folded", "\tfolded", "X: a\r\n folded", "X: \x00", "X: \x7f", "X\x01: a", "X : a", "X\t: a", "X: a\rb", "X: a\r", "(): a", "X\xe9: a", "X: a\x0bb", "X: a\x1b[0m", ":", " ", "X:a:b:", "Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked", "Host: me", "Host: other", "Upgrade: h2c", "HTTP2-Settings: x", "Expect: 100-continue", "Expect: chunked", "TE: chunked", "Trailer: Content-Length", "Keep-Alive: 1", "X-Forwarded-For: 1", "Proxy-Connection: keep-alive", "Content-Length: 5\r\nContent-Length: 6"]; // prettier-ignore
const HOSTS = ["a b", "me, other", "u@me", "", "me:99999999", "[::1]", "[::1]:80", "me:80", "me:", "m%65", "me/x", "me\\x", "me#", "me?x", "\xe9", "me\x00", "-", "[", "me,"]; // prettier-ignore
const VERSIONS = ["HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "HTTP/11.1", "http/1.1", "HTTP/1.1x", "HTTP/1.1 ", "", "HTTP/01.1", "HTTP/1", "HTTP/1,1", "HTTP /1.1", "HTTP/1.1\r", "HTTP/1.1\t", "ICY/1.1", "HTTP/1.0", "HTTP/1.-1", "HTTP/3"]; // prettier-ignore
const TARGETS = ["*", "//", "", "me:80", "http://other/", "http://", "http:///x", "http://me:80/x", "http://u@me/", "ftp://me/", "/a b", " /a", "/a ", "/a\t", "/\0", "/#f", "http://me#f", "?q", "/a\rb", "a", "/\x7f", "/\xff", "http:/me/", "https://me?q", "\\", "/..%2f..", "/a\\b", '/"<>^`{|}', "http://me/ http://me/"]; // prettier-ignore
const CONNECTIONS = ["close, x", "content-length", "transfer-encoding", "Host", "cookie, x-a", "keep-alive, close", "clos", "close\x00", "Content-Length, close", "Transfer-Encoding, X-A", "upgrade", "\xa0close", "close;", '"close"', "expect, host, content-length"]; // prettier-ignore
/** Of five bytes of data. */
const SIZES = ["+5", "-5", "0x5", " 5", "5 ", "\t5", "5\t", "-0", "", "00005", "0000000000005", "00000000000000005", "FFFFFFFFFFFFFFFF5", "100000005", "10000000000000005", "5;", "5;a=b", "5 ;a", "5; a", "g", "4", "6", "5h", "5,", "5.", "5_0", "5;a\x00", "5;a\rb", "5;a\n", "5\r", "5\n", "5;\n\r\n0", "5;\xff", '5;"', "5;a=\x7f", "0"]; // prettier-ignore
const TRAILERS = ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: other", "X : a", " folded", "garbage", ": a", "X: a\rb", "X: a\n", "X: \0", "Set-Cookie: a=b", "X-Forwarded-For: 1", "Connection: close", "X\x80: 1"]; // prettier-ignore
const LAST = ["00\r\n", "0\n", "0;x\r\n", "0 \r\n", "0x0\r\n", "-0\r\n", "", "0\r", "0\r\n\n", "0;\n\r\n", "\r\n0\r\n", "0\r\n0\r\n", "0000000000000000\r\n"]; // prettier-ignore

type Change = (draft: Draft, random: Random) => void;

const PARTS: Change[] = [
  ({ fields }, random) => put(fields, random.pick(LINES), random),
  ({ fields }, random) => put(fields, random.pick(LINES), random),
  ({ fields }, random) => put(fields, `Content-Length: ${random.pick(LENGTHS)}`, random),
  (draft, random) => exchange(draft, /^content-length:/i, `Content-Length: ${random.pick(LENGTHS)}`),
  ({ fields }, random) => put(fields, `Content-Length: ${random.between(0, 60)}`, random),
  ({ fields }, random) => put(fields, `Transfer-Encoding: ${random.pick(CODINGS)}`, random),
  (draft, random) => inChunks(draft, random, () => `Transfer-Encoding: ${random.pick(CODINGS)}`),
  (draft, random) => inChunks(draft, random, () => `${random.pick(NAMES)}: chunked`),
  ({ fields }, random) => put(fields, `${random.pick(NAMES)}: ${random.pick(["chunked", "5", "0"])}`, random),
  (draft, random) => exchange(draft, /^host:/i, `Host: ${random.pick(HOSTS)}`),
  (draft, random) => void (draft.fields = draft.fields.filter((line) => random.chance(0.7) || !/^host/i.test(line))),
  (draft, random) => void (draft.version = random.pick(VERSIONS)),
  (draft, random) => void (draft.method === "CONNECT" || (draft.target = random.pick(TARGETS))),
  (draft, random) => void (draft.method += random.pick(ODD)),
  ({ fields }, random) => put(fields, `Connection: ${random.pick(CONNECTIONS)}`, random),
  (draft, random) => void (random.chance(0.1) && makeHuge(draft, random)),
  (draft, random) => chunk(draft, random, (one) => void (one.line = `${random.pick(SIZES)}\r\n`)),
  (draft, random) => chunk(draft, random, (one) => void (one.line = `${random.pick(SIZES)}\r\n`)),
  (draft, random) => chunk(draft, random, (one) => void (one.end = random.pick(["", "\n", "\r", "\r\r\n", " \r\n", "\n\r\n", "\r\n\r\n", "x\r\n"]))), // prettier-ignore
  (draft, random) => chunk(draft, random, (_, body) => void body.trailers.push(random.pick(TRAILERS))),
  (draft, random) => chunk(draft, random, (_, body) => void (body.last = random.pick(LAST))),
  (draft, random) => chunk(draft, random, (_, body) => body.chunks.push(chunkOf(random.pick(BAITS), `;${"e".repeat(random.between(4000, 4200))}`))), // prettier-ignore
];

function put(fields: string[], line: string, random: Random): void {
  fields.splice(random.between(0, fields.length), 0, line);
}

function exchange({ fields }: Draft, name: RegExp, line: string): void {
  const at = fields.findIndex((one) => name.test(one));
  if (at === -1) fields.push(line);
  else fields[at] = line;
}

/** The body is in chunks; whether it is said, `line` decides. */
function inChunks(draft: Draft, random: Random, line: () => string): void {
  draft.body = chunkedBody(random);
  draft.fields = draft.fields.filter((one) => random.chance(0.3) || !/^(content-length|transfer-encoding):/i.test(one));
  put(draft.fields, line(), random);
}

/** Of a body in chunks, which it is made if it is none. */
function chunk(draft: Draft, random: Random, change: (one: Chunk, body: ChunkedBody) => void): void {
  const body = draft.body.kind === "chunked" ? draft.body : chunkedBody(random);
  if (draft.body !== body) {
    draft.fields = draft.fields.filter((one) => !/^(content-length|transfer-encoding):/i.test(one));
    draft.fields.push("Transfer-Encoding: chunked");
  }
  draft.body = body;
  const last = chunkOf("hello");
  body.chunks.push(last);
  change(last, body);
}

/** Around the limit of a head, in one line or in many. */
function makeHuge({ fields }: Draft, random: Random): void {
  const length = random.pick([16_000, 65_300 + random.between(0, 300), 70_000]);
  if (random.chance(0.5)) fields.push(`X-Huge: ${"h".repeat(length)}`);
  else for (let at = 0; at < length; at += 10) fields.push(`X-M: ${at % 10}..`);
}

function withOtherLineEnd(text: string, random: Random): string {
  const ends = [...text.matchAll(/\r\n/g)];
  if (ends.length === 0) return text;
  const { index } = random.pick(ends);
  return text.slice(0, index) + random.pick(["\n", "\r", "\n\r", "\r\r\n", "", " \r\n", "\r\n ", "\0\r\n"]) + text.slice(index + 2);
} // prettier-ignore

/** Rather at a line's end than within it. */
function placeIn(text: string, random: Random): number {
  const at = random.between(0, text.length);
  const end = random.chance(0.5) ? text.indexOf("\r\n", at) : -1;
  return end === -1 ? at : Math.min(text.length, end + random.between(-1, 3));
}
