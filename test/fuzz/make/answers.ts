/** What apps answer: all kinds of answers, and what is wrong with some. Several in a row go over one connection of a client. */
import { createRandom, hashOf, type Random } from "../../faults/random.ts";
import { readAnswer } from "../model/answers.ts";
import { scarred } from "./mutate.ts";
import { cutsOf } from "./streams.ts";

export interface Script {
  /** Stands in the body, before anything is wrong with it. */
  token: string;
  method: string;
  version: "HTTP/1.0" | "HTTP/1.1";
  /** Of the request; "" for none. Sent behind the head when the app has begun to answer, where `isEarly`. */
  body: string;
  /** The app answers before the request is whole. */
  isEarly: boolean;
  /** The app's bytes, and where they are cut. */
  bytes: string;
  cuts: number[];
  ending: "keep" | "fin" | "reset";
}

/** Answers for requests of one client, one for each. */
export interface Row {
  scripts: Script[];
  /** The client asks all at once. */
  isPipelined: boolean;
}

/** The row of this number; the same seed gives the same one. */
export function makeRow(seed: number, number: number): Row {
  const random = createRandom(hashOf(`answers/${seed}/${number}`));
  const scripts = Array.from({ length: random.between(1, 4) }, (_, at) => makeScript(random, `<${number}/${at}>`));
  return pipelined({ scripts, isPipelined: random.chance(0.4) });
}

/** The same. An app that ends its connection by itself may do so while the next request is on its way: that one is asked later. */
export function pipelined(row: Row): Row {
  const mayBe = row.scripts.every(({ ending, isEarly }) => ending === "keep" && !isEarly);
  return { ...row, isPipelined: row.isPipelined && mayBe };
}

/** The same, but without what would make an honest proxy wait for ever, or take the next answer for this one's. */
export function settled(script: Script): Script {
  const { bytes, method, cuts, ending } = script;
  const read = readAnswer(bytes, 0, method, false);
  const isWhole = read.kind === "answer" && read.answer.isWhole;
  // What follows an answer comes with its end: later it could not be told from the next answer.
  const end = isWhole ? read.answer.end : bytes.length;
  const isPartial = !isWhole && read.kind !== "refused";
  return { ...script, cuts: cuts.filter((at) => at < end), ending: isPartial && ending === "keep" ? "fin" : ending };
}

// --- internal ---

interface Draft {
  status: string;
  fields: string[];
  body: string;
}

const STATUSES = ["200 OK", "200 OK", "200 OK", "404 Not Found", "204 No Content", "304 Not Modified", "205 Reset Content", "500", "200 ", "299 \x80", "799 Odd"]; // prettier-ignore
const ODD_STATUSES = ["HTTP/2.0 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "http/1.1 200 OK", "HTTP/1.1 200\tOK", "200 OK", "", "HTTP/1.1 101 Switching Protocols", "HTTP/1.1 099 Low", "HTTP/1.1 200 \0", "ICY 200 OK", "HTTP/1.1 +20 OK", "HTTP/1.1 200 a\rb", "HTTP/1.0 200 OK", "HTTP/1.9 200 OK"]; // prettier-ignore
const ODD_LINES = ["Content-Length: 3", "Content-Length: +3", "Content-Length: 3, 3", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length:", "Content-Length : 3", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:", "Transfer_Encoding: chunked", " folded", "X: a\r\n folded", "X: \0", "X : a", "X: a\rb", "X: a\nContent-Length: 0", ": a", "garbage", "Connection: content-length", "Connection: close", "Connection: transfer-encoding", "Keep-Alive: timeout=1", "Upgrade: echo", "Trailer: X"]; // prettier-ignore
const ODD_SIZES = [
  "+3",
  "0x3",
  " 3",
  "3 ",
  "",
  "-1",
  "FFFFFFFFFFFFFFFFF",
  "3;\n",
  "3;a=b",
  "4",
  "2",
  "3\n",
  "g",
  "003",
];
const INTERIMS = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 102 Processing\r\nContent-Length: 0\r\n\r\n"]; // prettier-ignore
const BEHIND = ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTRAY", "STRAY", "\r\n", "0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "\0"]; // prettier-ignore

function makeScript(random: Random, token: string): Script {
  const method = random.pick(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"]);
  const body = method === "POST" && random.chance(0.7) ? "asked in a body ".repeat(random.between(1, 4)) : "";
  const bytes = bytesOf(random, token);
  return settled({
    token,
    method,
    version: random.chance(0.15) ? "HTTP/1.0" : "HTTP/1.1",
    body,
    isEarly: body !== "" && random.chance(0.3),
    bytes,
    cuts: cutsOf(bytes, random),
    ending: random.chance(0.85) ? "keep" : random.pick(["fin", "fin", "fin", "reset"]),
  });
}

function bytesOf(random: Random, token: string): string {
  const interims = random.chance(0.15) ? random.pick(INTERIMS).repeat(random.pick([1, 1, 2, 100, 101])) : "";
  const draft = validAnswer(random, token);
  if (random.chance(0.5)) return interims + joined(draft) + (random.chance(0.05) ? random.pick(BEHIND) : "");
  if (random.chance(0.3)) return interims + scarred(joined(draft), random);
  if (random.chance(0.1)) return joined(draft).replace(/^HTTP[^\r]*/, random.pick(ODD_STATUSES));
  if (random.chance(0.1)) return joined(draft) + random.pick(BEHIND) + joined(draft);
  if (random.chance(0.2) && draft.body !== "") return interims + joined({ ...draft, body: draft.body.slice(0, -random.between(1, draft.body.length)) }); // prettier-ignore
  if (random.chance(0.2))
    return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n${random.pick(ODD_SIZES)}\r\ndef\r\n0\r\n\r\n`;
  draft.fields.splice(random.between(0, draft.fields.length), 0, random.pick(ODD_LINES));
  return interims + joined(draft);
}

function joined({ status, fields, body }: Draft): string {
  return `HTTP/1.1 ${status}\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}

/** Its body says whose it is. */
function validAnswer(random: Random, token: string): Draft {
  const status = random.pick(STATUSES);
  const fields = ["X-A: 1", "Content-Type: text/plain", "Set-Cookie: a=b; Domain=x", "Connection: X-A", "Keep-Alive: timeout=20"];
  const content = token + "content\r\n\0\xff".repeat(random.pick([0, 1, 1, 2, 5, 9000]));
  const kept = fields.filter(() => random.chance(0.3));
  if (random.chance(0.08)) kept.push("Connection: close");
  const kind = random.pick(["length", "length", "chunked", "chunked", "close"] as const);
  if (/^(204|205|304)/.test(status) && kind !== "length") return { status, fields: kept, body: "" };
  if (kind === "close") return { status, fields: kept, body: content };
  if (kind === "length") return { status, fields: [...kept, `Content-Length: ${content.length}`], body: /^(204|304)/.test(status) ? "" : content };
  const middle = random.between(1, content.length - 1);
  const chunks = [content.slice(0, middle), content.slice(middle)].map((one) => `${one.length.toString(16)}${random.pick(["", "", ";a=b"])}\r\n${one}\r\n`);
  const trailers = random.chance(0.2) ? "X-Sum: 1\r\nX-Two: 2\r\n" : "";
  return { status, fields: [...kept, "Transfer-Encoding: chunked"], body: `${chunks.join("")}0\r\n${trailers}\r\n` };
} // prettier-ignore
