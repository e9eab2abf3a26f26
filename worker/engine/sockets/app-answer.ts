/**
 * An app's answer on its way to the client (RFC 9112 §6, RFC 9110 §15.2): interim heads, its head, its body at the pace of
 * who reads it, trailers. Made for each request that an app is asked; exchange.ts says what follows.
 */
import { BodyReader, type BodySink } from "../../protocols/http1/body-reader.ts";
import type { FieldLines } from "../../protocols/http1/field-lines.ts";
import { answerFraming, persists, type Framing } from "../../protocols/http1/framing.ts";
import { MAX_HEAD, type AnswerHead } from "../../protocols/http1/head.ts";
import { recentAnswer } from "../../protocols/http1/recent-heads.ts";
import type { Forward, HeaderEdits } from "../../seam/engine.ts";
import type { Outlet } from "./outlet.ts";
import type { SocketHead } from "./request-head.ts";

/** Of one request. */
const MAX_INTERIMS = 100;
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const [CR, LF] = [13, 10];
export const CHUNKED = "Transfer-Encoding: chunked\r\n";
const LAST_CHUNK = "0\r\n";

/** Where an answer goes. */
export interface Asked<C> {
  readonly head: SocketHead;
  readonly to: Forward<C>;
  /** The client's. */
  readonly out: Outlet;
  /** Whether the client's connection goes on after an answer whose end it can tell. */
  readonly goesOn: boolean;
  /** The client takes no more for now. */
  full(): void;
  /** 101: what follows is no HTTP. */
  switched(head: AnswerHead, rest: Buffer): void;
}

export class AppAnswer<C> implements BodySink {
  /** Its head is on its way to the client. */
  isBegun = false;
  isWhole = false;
  /** Something has come. */
  hasBytes = false;
  hasContinued = false;
  /** The client can't tell the end of the body otherwise. */
  endsWithConnection = false;
  /** The client was told that its connection goes on. */
  clientGoesOn = false;
  /** Of the app's connection. */
  appGoesOn = false;
  /** How long the app keeps it then, where it says so. Milliseconds. */
  appAllowsMs: number | null = null;
  readonly #asked: Asked<C>;
  /** A head that is not whole. */
  #held: Buffer | null = null;
  #interims = 0;
  /** A head that goes out with the first bytes of its body. */
  #headAhead: string | null = null;
  #body: BodyReader | null = null;
  /** Of a body that is taken out of its chunks, those of one read: each may be a byte. Null for others. */
  #gathered: Buffer[] | null = null;
  /** The client gets the body in chunks. */
  #inChunks = false;

  constructor(asked: Asked<C>) {
    this.#asked = asked;
  }

  /** Takes the app's bytes. Throws for what is no answer. */
  read(bytes: Buffer): void {
    this.hasBytes = true;
    if (this.#body !== null) return this.#readBody(this.#body, bytes, 0);
    const held = this.#held;
    this.#readHeads(held === null ? bytes : Buffer.concat([held, bytes]), held?.length ?? 0);
  }

  /** The app has ended its half. False when the answer is not whole. */
  closed(): boolean {
    this.isWhole = this.#body?.closed() === true;
    return this.isWhole;
  }

  // --- internal: heads ---

  /** `searched`: so much of the input has no end of a head. */
  #readHeads(input: Buffer, searched: number): void {
    const end = input.indexOf(END_OF_HEAD, Math.max(0, searched - 3));
    if (end === -1 ? input.length > MAX_HEAD : end > MAX_HEAD) throw new Error("the app's answer head is over 64 KiB");
    if (end === -1) return this.#hold(input);
    this.#held = null;
    const head = recentAnswer(input.toString("latin1", 0, end + 2));
    const rest = end + END_OF_HEAD.length;
    if (head.status >= 200) return this.#passHead(head, input, rest);
    if (head.status === 101) return this.#asked.switched(head, input.subarray(rest));
    this.#passInterim(head);
    if (rest < input.length) this.#readHeads(input.subarray(rest), 0);
  }

  #hold(input: Buffer): void {
    // A line that ends with LF alone would wait for an end that never comes.
    const line = input.indexOf(LF);
    if (line === 0 || (line > 0 && input[line - 1] !== CR)) throw new Error("Status line: wanted CRLF at its end");
    this.#held = Buffer.from(input);
  }

  /** Interim answers pass, but not to HTTP/1.0. */
  #passInterim({ status, reason, lines }: AnswerHead): void {
    if (++this.#interims > MAX_INTERIMS) throw new Error(`the app sent more than ${MAX_INTERIMS} interim answers`);
    const { head, to, out } = this.#asked;
    if (head.version === "1.0") return;
    this.hasContinued ||= status === 100;
    const edits = withoutLength(to.answerEdits(lines, status));
    const text = `HTTP/1.1 ${status} ${reason}\r\n${lines.edited({ ...edits, add: [] })}\r\n`;
    if (!out.writeHead(text, null)) this.#asked.full();
  }

  /** `rest`: where in the input its body begins. */
  #passHead(answer: AnswerHead, input: Buffer, rest: number): void {
    const { head, to, goesOn } = this.#asked;
    const facts = factsOf(answer);
    const framing = framingOf(answer, facts, head.method);
    to.answered?.(answer.status);
    this.appGoesOn = facts.persists && framing.kind !== "close" && !isChunkedOld(answer, framing);
    this.appAllowsMs = facts.allowedMs;
    const inChunks = framing.kind === "chunked" && head.version === "1.1";
    this.endsWithConnection = framing.kind === "close" || (framing.kind === "chunked" && !inChunks);
    this.clientGoesOn = goesOn && !this.endsWithConnection;
    const edits = editsOf(answer, facts, to.answerEdits);
    const lines = answer.lines.edited(hasNoLength(answer, framing) && facts.hasLength ? withoutLength(edits) : edits);
    const length = inChunks ? CHUNKED : isBare205(answer) ? "Content-Length: 0\r\n" : "";
    const more = `${facts.hasDate ? "" : now()}${length}${connectionLine(head, this.clientGoesOn)}`;
    this.#headAhead = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n${lines}${more}\r\n`;
    this.#inChunks = inChunks;
    if (framing.kind === "chunked" && !inChunks) this.#gathered = [];
    this.#body = new BodyReader(framing, inChunks, this);
    this.#readBody(this.#body, input, rest);
  }

  // --- internal: bodies ---

  #readBody(body: BodyReader, bytes: Buffer, from: number): void {
    const behind = body.read(bytes, from);
    this.#passGathered();
    // More than an answer belongs to nobody.
    if (behind < bytes.length) this.appGoesOn = false;
    if (this.#headAhead !== null) this.#sendHead(null, 0, 0);
    this.isWhole = body.isOver;
  }

  bytes(bytes: Buffer, from: number, to: number): void {
    if (this.#gathered === null) this.#passBody(bytes, from, to);
    else this.#gathered.push(bytes.subarray(from, to));
  }

  #passBody(bytes: Buffer, from = 0, to = bytes.length): void {
    if (this.#headAhead !== null) return this.#sendHead(bytes, from, to);
    if (!this.#asked.out.write(bytes, from, to)) this.#asked.full();
  }

  #passGathered(): void {
    const pieces = this.#gathered;
    if (pieces === null || pieces.length === 0) return;
    this.#gathered = [];
    this.#passBody(Buffer.concat(pieces));
  }

  #sendHead(body: Buffer | null, from: number, to: number): void {
    const head = this.#headAhead ?? "";
    this.#headAhead = null;
    this.isBegun = true;
    if (!this.#asked.out.writeHead(head, body, from, to)) this.#asked.full();
  }

  end(trailers: FieldLines | null): void {
    if (this.#inChunks) this.#passBody(Buffer.from(lastChunk(trailers, this.#asked.to), "latin1"));
  }
}

/** The end of a chunked body, with those trailers that may pass. */
export function lastChunk<C>(trailers: FieldLines | null, { mayTrail }: Forward<C>): string {
  return `${LAST_CHUNK}${trailers?.only(mayTrail) ?? ""}\r\n`;
}

/** What the client is told of its connection (RFC 9112 §9.3). */
export function connectionLine({ version }: SocketHead, goesOn: boolean): string {
  if (!goesOn) return "Connection: close\r\n";
  return version === "1.0" ? "Connection: keep-alive\r\n" : "";
}

/** RFC 9110 §6.6.1: who passes an answer on adds the time where it has none. */
export function dateLine(lines: FieldLines): string {
  return lines.count("date") > 0 ? "" : now();
}

/** An upgrade's answer has no length, nor have others without content (RFC 9110 §8.6). */
export function withoutLength(edits: HeaderEdits): HeaderEdits {
  return { ...edits, remove: [...edits.remove, "content-length"] };
}

// --- internal ---

type AnswerEdits = Forward<unknown>["answerEdits"];

/** What an answer's head says, whoever has asked. */
interface Facts {
  persists: boolean;
  allowedMs: number | null;
  hasDate: boolean;
  hasLength: boolean;
  /** As an answer to anything but HEAD; null before it was asked for. */
  framing: Framing | null;
  /** What changes in its lines, and by which function. */
  edits: HeaderEdits | null;
  by: AnswerEdits | null;
}

/** Of heads that come again. */
const known = new WeakMap<AnswerHead, Facts>();

function factsOf(answer: AnswerHead): Facts {
  const { lines } = answer;
  const before = lines.isKept ? known.get(answer) : undefined;
  if (before !== undefined) return before;
  const facts: Facts = {
    persists: persists(answer),
    allowedMs: allowedMs(lines),
    hasDate: lines.count("date") > 0,
    hasLength: lines.count("content-length") > 0,
    framing: null,
    edits: null,
    by: null,
  };
  if (lines.isKept) known.set(answer, facts);
  return facts;
}

/** Throws BadHead. */
function framingOf(answer: AnswerHead, facts: Facts, method: string): Framing {
  if (method === "HEAD") return answerFraming(answer, method);
  return (facts.framing ??= answerFraming(answer, method));
}

function editsOf({ lines, status }: AnswerHead, facts: Facts, by: AnswerEdits): HeaderEdits {
  if (facts.edits !== null && facts.by === by) return facts.edits;
  facts.by = by;
  return (facts.edits = by(lines, status));
}

let saidAt = -1;
let said = "";

/** The line of this second. */
function now(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second === saidAt) return said;
  saidAt = second;
  said = `Date: ${new Date(second * 1000).toUTCString()}\r\n`;
  return said;
}

/** RFC 9112 §6.3, 3: beside chunks a length says nothing, and must not be passed on; nor has 204 one (RFC 9110 §8.6). */
function hasNoLength({ status }: AnswerHead, { kind }: Framing): boolean {
  return kind === "chunked" || status === 204;
}

/** RFC 9112 §6.1: HTTP/1.0 has no chunks; who sends them is not trusted with a second request. */
function isChunkedOld({ version }: AnswerHead, { kind }: Framing): boolean {
  return version === "1.0" && kind === "chunked";
}

/** A 205 without a length: a client would wait for its content until the connection ends (RFC 9110 §15.3.6). */
function isBare205({ status, lines }: AnswerHead): boolean {
  return status === 205 && lines.count("content-length") === 0 && lines.count("transfer-encoding") === 0;
}

/** `Keep-Alive: timeout=5`. Milliseconds. */
function allowedMs(lines: FieldLines): number | null {
  const said = lines.get("keep-alive");
  const seconds = said === null ? undefined : /\btimeout=(\d{1,6})\b/i.exec(said)?.[1];
  return seconds === undefined ? null : Number(seconds) * 1000;
}
