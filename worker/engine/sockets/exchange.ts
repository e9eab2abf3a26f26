/**
 * One request and its answer. Its phases: the core decides; an app is connected to, or an idle connection taken; the head
 * and body go out; the answer's head and body come back; or, after 101, a tunnel. Both bodies pass at their own pace.
 */
import { STATUS_CODES } from "node:http";
import { Failure, reason, toFailure } from "../../../shared/failure.ts";
import type { Answer } from "../../../shared/http/page.ts";
import { UpstreamFault } from "../../net/upstream-fault.ts";
import { BodyReader } from "../../protocols/http1/body-reader.ts";
import type { FieldLines } from "../../protocols/http1/field-lines.ts";
import { answerFraming, persists, type Framing } from "../../protocols/http1/framing.ts";
import { MAX_HEAD, parseAnswer, type AnswerHead } from "../../protocols/http1/head.ts";
import type { Attempt, Core, Decision, Forward, HeaderEdits } from "../../seam/engine.ts";
import { connectApp, putIdle, takeIdle, type AppConnection, type AppUser } from "./app-connection.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { SocketHead } from "./request-head.ts";
import { Tunnel } from "./tunnel.ts";

/** What may not be sent twice goes over no connection that has been idle for longer: its app may be closing it. Milliseconds. */
const FRESH_MS = 1000;
/** RFC 9110 §9.2.2: these may be repeated. */
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);
/** How long an app may take to ask for the body itself. Milliseconds. */
const CONTINUE_MS = 200;
/** Of one request. */
const MAX_INTERIMS = 100;
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const LAST_CHUNK = "0\r\n";

export class Exchange<C> implements AppUser {
  readonly #client: ClientConnection<C>;
  readonly #core: Core<C>;
  readonly #head: SocketHead;
  readonly #framing: Framing;
  readonly #requestBody: BodyReader;
  #to: Forward<C> | null = null;
  #attempt: Attempt | null = null;
  #app: AppConnection | null = null;
  /** The request's head is with the app: its body may follow. */
  #isAsked = false;
  /** Of the app's answer, up to its end. */
  #heldHead: Buffer | null = null;
  #answerBody: BodyReader | null = null;
  /** Its head is on its way to the client. */
  #isAnswering = false;
  /** The client can't tell the end of the answer's body otherwise. */
  #endsWithConnection = false;
  #clientGoesOn: boolean;
  #appGoesOn = false;
  #appAllowsMs: number | null = null;
  #hasContinued = false;
  #interims = 0;
  #tunnel: Tunnel | null = null;
  #clientHasEnded = false;
  #isOver = false;

  constructor(client: ClientConnection<C>, head: SocketHead, framing: Framing, core: Core<C>) {
    this.#client = client;
    this.#head = head;
    this.#framing = framing;
    this.#core = core;
    this.#clientGoesOn = persists(head);
    this.#requestBody = new BodyReader(framing, true, {
      bytes: (bytes) => this.#sendBody(bytes),
      end: (trailers) => this.#endRequest(trailers),
    });
  }

  start(): void {
    const decided = this.#core.decide(this.#head);
    if (!(decided instanceof Promise)) return this.#act(decided);
    void decided.then((decision) => {
      if (!this.#isOver) return this.#act(decision);
      if (decision.kind === "forward") decision.attempt.release();
    });
  }

  // --- the client's side ---

  /** Gives how many of the bytes are this request's. */
  clientSaid(bytes: Buffer): number {
    if (this.#tunnel !== null) return this.#tunnel.clientSaid(bytes);
    if (!this.#isAsked || this.#requestBody.isOver) return 0;
    this.#attempt?.moved();
    try {
      return this.#requestBody.read(bytes);
    } catch (error) {
      // What follows can't be told from the body: nothing of this connection is of use.
      this.#refuseBody(error);
      return bytes.length;
    }
  }

  clientHasRoom(): void {
    if (this.#tunnel !== null) this.#tunnel.clientHasRoom();
    else this.#app?.resume();
  }

  /** FIN: the client has left, or has only ended its half. Which of them it was, only writing to it tells. */
  clientEnded(): void {
    if (this.#tunnel !== null) return this.#tunnel.clientEnded();
    this.#clientHasEnded = true;
    this.#clientGoesOn = false;
    if (this.#isAnswering || !this.#isRequestWhole()) return this.#client.terminate();
    if (this.#head.version === "1.1") this.#client.out.write(CONTINUE);
  }

  /** The client's connection is gone. */
  clientGone(): void {
    this.#end();
    if (this.#tunnel !== null) this.#tunnel.clientGone();
    else this.#app?.terminate();
    this.#attempt?.release();
  }

  /** A limit has passed. */
  late(): void {
    this.#client.terminate();
  }

  // --- the app's side ---

  appSaid(bytes: Buffer): void {
    this.#attempt?.moved();
    if (this.#tunnel !== null) return this.#tunnel.appSaid(bytes);
    try {
      if (this.#answerBody === null) this.#readAnswerHead(bytes);
      else this.#readAnswerBody(bytes);
    } catch (error) {
      this.#fail(new UpstreamFault("broken", reason(error), error));
    }
  }

  appHasRoom(): void {
    if (this.#tunnel !== null) this.#tunnel.appHasRoom();
    else this.#client.resume();
  }

  appEnded(): void {
    if (this.#tunnel !== null) return this.#tunnel.appEnded();
    if (this.#answerBody?.closed() === true) return this.#isOver ? undefined : this.#finish();
    this.#fail(new UpstreamFault("broken", "the app closed the connection before its answer was whole"));
  }

  appGone(broken: boolean): void {
    if (this.#tunnel !== null) return this.#tunnel.appGone(broken);
    this.#fail(new UpstreamFault("broken", broken ? "the app reset the connection" : "the app closed the connection"));
  }

  // --- internal: deciding and asking ---

  #act(decision: Decision<C>): void {
    try {
      if (decision.kind === "refuse")
        return this.#answer(this.#core.failed(decision.failure, this.#head, decision.circuit));
      if (decision.kind === "answer") return this.#answer(decision.answer);
      this.#to = decision;
      this.#try(decision.attempt);
    } catch (error) {
      const circuit = decision.kind === "answer" ? null : decision.circuit;
      this.#app?.terminate();
      this.#app = null;
      this.#attempt?.release();
      if (!this.#isOver) this.#answer(this.#core.failed(toFailure(error), this.#head, circuit));
    }
  }

  #try(attempt: Attempt): void {
    this.#attempt = attempt;
    const key = `${attempt.host} ${attempt.port}`;
    const idle = this.#head.upgradeTo === null ? takeIdle(key, this.#isRepeatable() ? Infinity : FRESH_MS) : null;
    if (idle !== null) {
      attempt.stop = () => this.#revoke();
      // Its route may have gone before.
      if (this.#isOver || this.#attempt !== attempt) return putIdle(idle, null);
      return this.#ask(idle);
    }
    // What comes of the body meanwhile waits.
    const dialled = connectApp(attempt, key);
    attempt.stop = () => {
      this.#revoke();
      dialled.cancel();
    };
    void dialled.socket.then(
      ({ data: app }) => {
        if (this.#isOver || this.#attempt !== attempt) return app.terminate();
        this.#ask(app);
      },
      (fault: UpstreamFault) => {
        if (!this.#isOver && this.#attempt === attempt) this.#fail(fault);
      },
    );
  }

  #ask(app: AppConnection): void {
    const to = this.#to;
    if (to === null) return;
    if (app.isOver) return this.#fail(new UpstreamFault("broken", "the app closed the connection"));
    this.#app = app;
    app.user = this;
    const attempt = this.#attempt;
    if (attempt !== null) attempt.stop = () => this.#revoke();
    if (this.#isOver) return;
    attempt?.connected();
    const { method, target, lines, upgradeTo } = this.#head;
    const host = lines.count("host") === 0 ? `Host: ${this.#head.authority}\r\n` : "";
    const head = `${method} ${target} HTTP/1.1\r\n${host}${lines.edited(to.edits)}${framed(this.#framing)}${asked(to, upgradeTo)}\r\n`;
    this.#isAsked = true;
    if (!app.out.writeHead(head, null)) this.#client.pause();
    this.#client.feed();
    if (this.#expectsContinue()) this.#continueLater();
  }

  #expectsContinue(): boolean {
    return this.#head.version === "1.1" && !this.#requestBody.isOver && lines100(this.#head.lines);
  }

  /** Many apps do not know what a client waits for; those that do have answered by then. */
  #continueLater(): void {
    setTimeout(() => {
      const waits = !this.#isOver && !this.#isAnswering && !this.#hasContinued && this.#tunnel === null;
      if (waits && !this.#requestBody.isOver) this.#client.out.write(CONTINUE);
    }, CONTINUE_MS).unref();
  }

  #sendBody(bytes: Buffer): void {
    if (this.#app?.out.write(bytes) === false) this.#client.pause();
  }

  #endRequest(trailers: FieldLines | null): void {
    if (this.#framing.kind === "chunked")
      this.#app?.out.writeHead(`${LAST_CHUNK}${trailers?.edited(NOT_IN_TRAILERS) ?? ""}\r\n`, null);
  }

  #revoke(): void {
    this.#fail(new UpstreamFault("revoked", "its route is gone"));
  }

  // --- internal: answering ---

  #readAnswerHead(bytes: Buffer): void {
    let input = this.#heldHead === null ? bytes : Buffer.concat([this.#heldHead, bytes]);
    for (;;) {
      const end = input.indexOf(END_OF_HEAD);
      if (end === -1 ? input.length > MAX_HEAD : end > MAX_HEAD)
        throw new Error("the app's answer head is over 64 KiB");
      this.#heldHead = end === -1 ? Buffer.from(input) : null;
      if (end === -1) return;
      const head = parseAnswer(input.toString("latin1", 0, end + 2));
      input = input.subarray(end + END_OF_HEAD.length);
      if (head.status === 101) return this.#switch(head, input);
      if (head.status >= 200) return this.#passHead(head, input);
      this.#passInterim(head);
    }
  }

  /** RFC 9110 §15.2: interim answers pass, but not to HTTP/1.0. */
  #passInterim({ status, reason: phrase, lines }: AnswerHead): void {
    if (++this.#interims > MAX_INTERIMS) throw new Error(`the app sent more than ${MAX_INTERIMS} interim answers`);
    if (this.#head.version === "1.0" || this.#to === null) return;
    this.#hasContinued ||= status === 100;
    const { remove, set } = this.#to.answerEdits(lines);
    const text = `HTTP/1.1 ${status} ${phrase}\r\n${lines.edited({ remove, set, add: [] })}\r\n`;
    if (!this.#client.out.writeHead(text, null)) this.#app?.pause();
  }

  #passHead(head: AnswerHead, rest: Buffer): void {
    const to = this.#to;
    if (to === null) return;
    const framing = answerFraming(head, this.#head.method);
    to.answered?.(head.status);
    this.#appGoesOn = persists(head) && framing.kind !== "close";
    this.#appAllowsMs = allowedMs(head.lines);
    const inChunks = framing.kind === "chunked" && this.#head.version === "1.1";
    this.#endsWithConnection = framing.kind === "close" || (framing.kind === "chunked" && !inChunks);
    this.#clientGoesOn &&= !this.#endsWithConnection && !this.#client.isLeaving;
    const lines = head.lines.edited(withoutLength(to.answerEdits(head.lines), framing));
    const length = inChunks ? CHUNKED : hasNoEnd(head) ? "Content-Length: 0\r\n" : "";
    this.#headAhead = `HTTP/1.1 ${head.status} ${head.reason}\r\n${lines}${length}${this.#connection(this.#clientGoesOn)}\r\n`;
    this.#answerBody = new BodyReader(framing, inChunks, {
      bytes: (bytes) => this.#passBody(bytes),
      end: (trailers) => this.#endAnswer(inChunks, trailers),
    });
    if (rest.length > 0) return this.#readAnswerBody(rest);
    this.#sendHead(null);
    if (this.#answerBody.isOver) this.#finish();
  }

  /** What the client is told of its connection (RFC 9112 §9.3). */
  #connection(goesOn: boolean): string {
    if (!goesOn) return "Connection: close\r\n";
    return this.#head.version === "1.0" ? "Connection: keep-alive\r\n" : "";
  }

  /** A head that goes out with the first bytes of its body. */
  #headAhead: string | null = null;

  #sendHead(body: Buffer | null): void {
    const head = this.#headAhead;
    this.#headAhead = null;
    this.#isAnswering = true;
    if (head !== null && !this.#client.out.writeHead(head, body)) this.#app?.pause();
  }

  #readAnswerBody(bytes: Buffer): void {
    const body = this.#answerBody;
    if (body === null) return;
    const used = body.read(bytes);
    // More than an answer belongs to nobody.
    if (used < bytes.length) this.#appGoesOn = false;
    if (this.#headAhead !== null) this.#sendHead(null);
    if (body.isOver && !this.#isOver) this.#finish();
  }

  #passBody(bytes: Buffer): void {
    if (this.#headAhead !== null) return this.#sendHead(bytes);
    if (!this.#client.out.write(bytes)) this.#app?.pause();
  }

  #endAnswer(inChunks: boolean, trailers: FieldLines | null): void {
    if (inChunks) {
      const last = `${LAST_CHUNK}${trailers?.edited(NOT_IN_TRAILERS) ?? ""}\r\n`;
      this.#passBody(Buffer.from(last, "latin1"));
    }
    if (this.#headAhead !== null) this.#sendHead(null);
  }

  /** The answer is whole. */
  #finish(): void {
    this.#end();
    const app = this.#app;
    const isWhole = this.#isRequestWhole();
    this.#attempt?.release();
    if (app !== null) {
      if (this.#appGoesOn && isWhole && app.out.isEmpty) {
        app.resume();
        putIdle(app, this.#appAllowsMs);
      } else app.terminate();
    }
    this.#client.answered(this.#clientGoesOn && isWhole && !this.#clientHasEnded);
  }

  /** Our own answer. */
  #answer({ status, headers, body }: Answer): void {
    this.#end();
    const goesOn = this.#clientGoesOn && this.#requestBody.isOver && !this.#clientHasEnded && !this.#client.isLeaving;
    const bytes = Buffer.from(body, "utf8");
    const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const length = status === 204 || status === 304 ? "" : `Content-Length: ${bytes.length}\r\n`;
    this.#client.out.writeHead(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines}${length}${this.#connection(goesOn)}\r\n`,
      this.#head.method === "HEAD" || length === "" ? null : bytes,
    );
    this.#client.answered(goesOn);
  }

  // --- internal: tunnels ---

  #switch(head: AnswerHead, rest: Buffer): void {
    const { upgradeTo } = this.#head;
    const to = this.#to;
    const app = this.#app;
    const attempt = this.#attempt;
    const chosen = head.lines.get("upgrade");
    if (upgradeTo === null || to === null || app === null || attempt === null || chosen === null)
      throw new Error("the app switched to a protocol that was not asked for");
    to.answered?.(101);
    const lines = head.lines.edited(to.answerEdits(head.lines));
    this.#tunnel = new Tunnel(this.#client, app, attempt, this.#head.upgrade);
    this.#client.out.writeHead(
      `HTTP/1.1 101 ${head.reason}\r\n${lines}Connection: Upgrade\r\nUpgrade: ${chosen}\r\n\r\n`,
      null,
    );
    if (rest.length > 0) this.#tunnel.appSaid(rest);
    this.#client.feed();
  }

  // --- internal: failing ---

  /** Nothing of it is whole: another app is asked, the client is answered, or its answer breaks off. */
  #fail(fault: UpstreamFault): void {
    if (this.#isOver) return;
    const attempt = this.#attempt;
    const to = this.#to;
    if (attempt === null || to === null) return;
    this.#app?.terminate();
    this.#app = null;
    this.#heldHead = null;
    this.#headAhead = null;
    this.#answerBody = null;
    if (this.#isAnswering) {
      attempt.release();
      return this.#breakOff(fault.kind === "revoked");
    }
    const next = attempt.next(fault, { bodySent: this.#framing.kind !== "none", clientGone: this.#client.isOver });
    if (next !== null) return this.#try(next);
    this.#answer(this.#core.failed(this.#core.upstreamFault(fault, attempt), this.#head, to.circuit));
  }

  /** An answer that is not whole ends behind what has come of it, where the client sees that something is missing. */
  #breakOff(atOnce: boolean): void {
    this.#end();
    if (atOnce || this.#endsWithConnection) this.#client.terminate();
    else this.#client.close();
  }

  #refuseBody(error: unknown): void {
    this.#app?.terminate();
    this.#app = null;
    this.#attempt?.release();
    this.#clientGoesOn = false;
    if (this.#isAnswering) return this.#breakOff(false);
    const failure = new Failure("generic-bad-request", reason(error));
    this.#answer(this.#core.failed(failure, this.#head, this.#to?.circuit ?? null));
  }

  #end(): void {
    this.#isOver = true;
  }

  #isRequestWhole(): boolean {
    return this.#requestBody.isOver;
  }

  /** Without a body, and safe: it may be sent again where it can't have been heard. */
  #isRepeatable(): boolean {
    return this.#framing.kind === "none" && SAFE.has(this.#head.method);
  }
}

// --- internal ---

const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");
const CHUNKED = "Transfer-Encoding: chunked\r\n";

/** RFC 9110 §6.5.1: what frames, routes or lets in is no trailer. */
const NOT_IN_TRAILERS = {
  remove: [
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "set-cookie",
    "authorization",
    "cookie",
    "proxy-authorization",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
  ],
  set: [],
  add: [],
};

/** RFC 9110 §10.1.1, in any case. */
function lines100(lines: FieldLines): boolean {
  return lines.get("expect")?.toLowerCase() === "100-continue";
}

/** A client would wait for its content until the connection ends. */
function hasNoEnd({ status, lines }: AnswerHead): boolean {
  return status === 205 && lines.count("content-length") === 0 && lines.count("transfer-encoding") === 0;
}

/** RFC 9112 §6.3, 3: beside chunks a length says nothing, and must not be passed on. */
function withoutLength(edits: HeaderEdits, { kind }: Framing): HeaderEdits {
  return kind === "chunked" ? { ...edits, remove: [...edits.remove, "content-length"] } : edits;
}

function framed(framing: Framing): string {
  return framing.kind === "chunked" ? CHUNKED : "";
}

/** RFC 9110 §7.6.1, §10.1.4: what this connection is asked for. */
function asked<C>({ edits }: Forward<C>, upgradeTo: string | null): string {
  if (upgradeTo !== null) return `Connection: Upgrade\r\nUpgrade: ${upgradeTo}\r\n`;
  return edits.set.some(([name]) => name === "TE") ? "Connection: TE\r\n" : "";
}

/** `Keep-Alive: timeout=5`. Milliseconds. */
function allowedMs(lines: FieldLines): number | null {
  const seconds = /\btimeout=(\d{1,6})\b/i.exec(lines.get("keep-alive") ?? "")?.[1];
  return seconds === undefined ? null : Number(seconds) * 1000;
}
