/**
 * One request and its answer. Its phases: the core decides; an app is connected to, or an idle connection taken; the head
 * and body go out; the answer comes back (app-answer.ts); or, after 101, a tunnel. Both bodies pass at their own pace.
 */
import { STATUS_CODES } from "node:http";
import { Failure, reason, toFailure } from "../../../shared/failure.ts";
import type { Answer } from "../../../shared/http/page.ts";
import { crowdedFailure, type Full } from "../../../shared/net/crowding.ts";
import type { Dialled } from "../../net/dial.ts";
import { UpstreamFault } from "../../net/upstream-fault.ts";
import { BodyReader, noBody, type BodySink } from "../../protocols/http1/body-reader.ts";
import { fieldLine, type FieldLines } from "../../protocols/http1/field-lines.ts";
import type { Framing } from "../../protocols/http1/framing.ts";
import type { AnswerHead } from "../../protocols/http1/head.ts";
import { assertAccepted, handshakeFault } from "../../protocols/websocket/acceptance.ts";
import type { Attempt, Core, Decision, Forward, HeaderEdits } from "../../seam/engine.ts";
import { AppAnswer, CHUNKED, connectionLine, dateLine, lastChunk, withoutLength, type Asked } from "./app-answer.ts";
import { connectApp, takeIdle, type AppConnection, type AppUser } from "./app-connection.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { Outlet } from "./outlet.ts";
import { offered, type SocketHead } from "./request-head.ts";
import { Tunnel } from "./tunnel.ts";

/** What may not be sent twice goes over no connection that has been idle for longer: its app may be closing it. Milliseconds. */
const FRESH_MS = 1000;
/** How long an app may take to ask for the body itself. Milliseconds. */
const CONTINUE_MS = 200;
/**
 * A client that ends its half while it is answered has most likely left; one that ended it with its request gets the rest, for
 * as long as bytes come: they tell which it was. Looked at twice, so that a process that stood still does not count. dataplane
 * H9. Milliseconds.
 */
const SILENCE_MS = 40;

export class Exchange<C> implements AppUser, Asked<C>, BodySink {
  readonly head: SocketHead;
  readonly #client: ClientConnection<C>;
  readonly #core: Core<C>;
  readonly #framing: Framing;
  readonly #requestBody: BodyReader;
  #to: Forward<C> | null = null;
  #attempt: Attempt | null = null;
  #dialled: Dialled<AppConnection> | null = null;
  #app: AppConnection | null = null;
  /** The app has the request's head: the body may follow. */
  #isAsked = false;
  /** Of the app that was asked last. */
  #answer: AppAnswer<C> | null = null;
  /** How often the app has said something. */
  #reads = 0;
  #clientHasEnded = false;
  /** It was sent over an idle connection that broke. */
  #isRepeated = false;
  #isOver = false;

  constructor(client: ClientConnection<C>, head: SocketHead, core: Core<C>) {
    const { framing } = head;
    this.#client = client;
    this.head = head;
    this.#framing = framing;
    this.#core = core;
    this.#requestBody = framing.kind === "none" ? noBody() : new BodyReader(framing, true, this);
  }

  /** `full`: what had no room for this client; it is told. */
  start(full: Full | null): void {
    if (full !== null) return this.#act({ kind: "refuse", failure: crowdedFailure(full), circuit: null });
    const decided = this.#core.decide(this.head);
    if (!(decided instanceof Promise)) return this.#act(decided);
    void decided.then((decision) => {
      if (!this.#isOver) return this.#act(decision);
      if (decision.kind === "forward") decision.attempt.release();
    });
  }

  // --- the client's side ---

  /** Gives how many of the bytes are this request's. */
  clientSaid(bytes: Buffer): number {
    if (!this.#isAsked || this.#requestBody.isOver) return 0;
    this.#attempt?.moved();
    try {
      const used = this.#requestBody.read(bytes);
      this.#limitBody();
      return used;
    } catch (error) {
      // What follows can't be told from the body: nothing of this connection is of use.
      this.#refuseBody(error);
      return bytes.length;
    }
  }

  clientHasRoom(): void {
    this.#app?.resume();
  }

  /** FIN: the client has left, or has only ended its half. Which of them it was, only writing to it tells. */
  clientEnded(): void {
    this.#clientHasEnded = true;
    if (this.#answer?.isBegun === true) return this.#watchSilence(-1);
    // Of a body, the rest may wait here until an app is asked.
    if (this.#isAsked && !this.#requestBody.isOver) return this.#client.terminate();
    // A WebSocket has no half.
    if (this.head.upgrade) return this.#client.terminate();
    if (this.#requestBody.isOver && this.head.version === "1.1" && this.head.upgradeTo === null)
      this.#client.out.write(CONTINUE);
  }

  /** The client's connection is gone. */
  clientGone(): void {
    this.#isOver = true;
    this.#drop();
    this.#attempt?.release();
  }

  /** A limit has passed. */
  late(): void {
    if (this.#answer?.isBegun === true) return this.#client.terminate();
    this.#isOver = true;
    this.#drop();
    this.#attempt?.release();
    this.#client.refuse(408, "Request Timeout");
  }

  // --- the app's side ---

  appSaid(bytes: Buffer): void {
    this.#attempt?.moved();
    this.#reads++;
    const answer = this.#answer;
    if (answer === null) return;
    try {
      answer.read(bytes);
    } catch (error) {
      return this.#fail(new UpstreamFault("broken", reason(error), error));
    }
    if (answer.isWhole && !this.#isOver) this.#finish(answer);
  }

  appHasRoom(): void {
    this.#client.resume();
    this.#limitBody();
  }

  appEnded(): void {
    const answer = this.#answer;
    if (answer?.closed() === true) return this.#isOver ? undefined : this.#finish(answer);
    this.#fail(new UpstreamFault("broken", "the app closed the connection before its answer was whole"));
  }

  appGone(broken: boolean): void {
    this.#fail(new UpstreamFault("broken", broken ? "the app reset the connection" : "the app closed the connection"));
  }

  // --- its answer's side ---

  get to(): Forward<C> {
    if (this.#to === null) throw new Error("no app is asked");
    return this.#to;
  }

  get out(): Outlet {
    return this.#client.out;
  }

  get goesOn(): boolean {
    return this.head.persists && !this.#client.isLast;
  }

  full(): void {
    this.#app?.pause();
  }

  switched(answer: AnswerHead, rest: Buffer): void {
    const { upgradeTo } = this.head;
    const [app, attempt] = [this.#app, this.#attempt];
    const chosen = answer.lines.get("upgrade");
    if (upgradeTo === null || app === null || attempt === null || chosen === null || !isOffered(chosen, upgradeTo))
      throw new Error("the app switched to a protocol that was not asked for");
    const isWebSocket = offered(chosen).includes("websocket");
    if (isWebSocket)
      assertAccepted(
        (name) => answer.lines.get(name),
        (name) => this.head.header(name),
      );
    this.to.answered?.(101);
    const lines = answer.lines.edited(withoutLength(this.to.answerEdits(answer.lines, 101)));
    const text = `HTTP/1.1 101 ${answer.reason}\r\n${lines}${dateLine(answer.lines)}Connection: Upgrade\r\nUpgrade: ${chosen}\r\n\r\n`;
    this.#isOver = true;
    const { waits, ...end } = this.#client.handOver();
    const tunnel = new Tunnel(end, app, attempt, isWebSocket);
    end.out.writeHead(text, null);
    if (rest.length > 0) tunnel.appSaid(rest);
    if (waits !== null) tunnel.said(waits);
    if (this.#clientHasEnded) tunnel.ended();
  }

  // --- internal: deciding and asking ---

  #act(decision: Decision<C>): void {
    try {
      if (decision.kind === "refuse")
        return this.#answerWith(this.#core.failed(decision.failure, this.head, decision.circuit));
      if (decision.kind === "answer") return this.#answerWith(decision.answer);
      const fault = this.head.upgrade ? handshakeFault((name) => this.head.header(name)) : null;
      if (fault !== null) {
        decision.attempt.release();
        return this.#answerWith(
          fault instanceof Failure ? this.#core.failed(fault, this.head, decision.circuit) : fault,
        );
      }
      this.#to = decision;
      this.#try(decision.attempt);
    } catch (error) {
      this.#failOurselves(error, decision.kind === "answer" ? null : decision.circuit);
    }
  }

  #try(attempt: Attempt): void {
    this.#attempt = attempt;
    const mayBeIdle = !this.#isRepeated && this.head.upgradeTo === null;
    const idle = mayBeIdle ? takeIdle(attempt.upstream, this.to.repeatable ? Infinity : FRESH_MS) : null;
    if (idle !== null) return this.#ask(attempt, idle);
    // What comes of the body meanwhile waits.
    const dialled = connectApp(attempt, this.#client.connections);
    this.#dialled = dialled;
    attempt.stop = () => {
      dialled.cancel();
      this.#revoke(attempt);
    };
    void dialled.socket.then(
      ({ data: app }) => {
        if (this.#isOver || this.#attempt !== attempt) return app.terminate();
        this.#dialled = null;
        try {
          this.#ask(attempt, app);
        } catch (error) {
          this.#failOurselves(error, this.to.circuit);
        }
      },
      (fault: UpstreamFault) => {
        if (!this.#isOver && this.#attempt === attempt) this.#fail(fault);
      },
    );
  }

  #ask(attempt: Attempt, app: AppConnection): void {
    this.#app = app;
    this.#answer = new AppAnswer(this);
    if (app.isOver) return this.#fail(new UpstreamFault("broken", "the app closed the connection"));
    app.user = this;
    // Its route may have gone meanwhile: then this calls it.
    attempt.stop = () => this.#revoke(attempt);
    if (this.#isOver || this.#attempt !== attempt) return;
    attempt.connected(app.isNew);
    const { method, target, lines, authority, upgradeTo } = this.head;
    const host = lines.count("host") === 0 ? `Host: ${authority}\r\n` : "";
    const { edits } = this.to;
    const kept = lines.edited(upgradeTo === null ? edits : withoutContent(edits));
    const fields = `${host}${kept}${framed(this.#framing)}${asked(edits, upgradeTo)}`;
    this.#isAsked = true;
    if (!app.out.writeHead(`${method} ${target} HTTP/1.1\r\n${fields}\r\n`, null)) this.#client.pause();
    this.#client.feed();
    if (this.#isOver || this.#requestBody.isOver) return;
    this.#limitBody();
    if (this.#clientHasEnded) return this.#client.terminate();
    if (this.head.version === "1.1" && this.head.header("expect")?.toLowerCase() === "100-continue")
      this.#continueLater();
  }

  /** RFC 9110 §10.1.1: many apps do not know what a client waits for; those that do have answered by then. */
  #continueLater(): void {
    setTimeout(() => {
      const isAnswered = this.#answer === null || this.#answer.isBegun || this.#answer.hasContinued;
      if (!this.#isOver && !isAnswered && !this.#requestBody.isOver) this.out.write(CONTINUE);
    }, CONTINUE_MS).unref();
  }

  // --- what the request's body has ---

  bytes(bytes: Buffer, from: number, to: number): void {
    if (this.#app?.out.write(bytes, from, to) === false) this.#client.pause();
  }

  /** Silence counts only while the app waits for more. */
  #limitBody(): void {
    const waits = !this.#requestBody.isOver && this.#app?.out.isEmpty === true;
    this.#client.limit(waits ? this.#client.limits.bodyMs : null);
  }

  end(trailers: FieldLines | null): void {
    if (this.#framing.kind === "chunked") this.#app?.out.writeHead(lastChunk(trailers, this.to), null);
  }

  // --- internal: answering ---

  /** The answer is whole. */
  #finish(answer: AppAnswer<C>): void {
    this.#isOver = true;
    const app = this.#app;
    const attempt = this.#attempt;
    const isRequestWhole = this.#requestBody.isOver;
    attempt?.release();
    // An app that has answered early may still take the body: it sees that it is not whole.
    if (!isRequestWhole) app?.terminate();
    else if (answer.appGoesOn && attempt !== null) app?.keep(attempt.upstream, answer.appAllowsMs);
    else app?.close();
    this.#client.answered(answer.clientGoesOn && isRequestWhole);
  }

  /** Our own answer. */
  #answerWith({ status, headers, body }: Answer): void {
    const goesOn = this.goesOn && this.#requestBody.isOver;
    const bytes = Buffer.from(body, "utf8");
    let lines = "";
    for (const [name, value] of headers) lines += fieldLine(name, value);
    if (status !== 204 && status !== 304) lines += `Content-Length: ${bytes.length}\r\n`;
    const isBare = this.head.method === "HEAD" || status === 204 || status === 304;
    this.#isOver = true;
    this.out.writeHead(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines}${connectionLine(this.head, goesOn)}\r\n`,
      isBare ? null : bytes,
    );
    this.#client.answered(goesOn);
  }

  /** `before`: how much had been read of the app at the last look. */
  #watchSilence(before: number): void {
    const reads = this.#reads;
    setTimeout(() => {
      if (this.#isOver) return;
      const isSilent = this.out.isEmpty && this.#reads === reads;
      if (isSilent && reads === before) this.#client.terminate();
      else this.#watchSilence(isSilent ? reads : -1);
    }, SILENCE_MS).unref();
  }

  // --- internal: failing ---

  /** Nothing of it is whole: another app is asked, the client is answered, or its answer breaks off. */
  #fail(fault: UpstreamFault): void {
    const [attempt, answer] = [this.#attempt, this.#answer];
    if (this.#isOver || attempt === null) return;
    const stale = this.#isStale();
    this.#drop();
    if (answer?.isBegun === true) {
      attempt.release();
      return this.#breakOff(answer, fault.kind === "revoked");
    }
    const progress = { hasBody: this.#framing.kind !== "none", clientGone: this.#client.isOver, stale };
    const next = attempt.next(fault, progress);
    // What was sent twice already goes over no connection that may be closing.
    this.#isRepeated ||= stale;
    if (next !== null) return this.#try(next);
    this.#answerWith(this.#core.failed(this.#core.upstreamFault(fault, attempt), this.head, this.to.circuit));
  }

  /** What no app is to blame for. */
  #failOurselves(error: unknown, circuit: C | null): void {
    this.#drop();
    this.#attempt?.release();
    if (!this.#isOver) this.#answerWith(this.#core.failed(toFailure(error), this.head, circuit));
  }

  #revoke(attempt: Attempt): void {
    if (this.#attempt === attempt) this.#fail(new UpstreamFault("revoked", "its route is gone"));
  }

  /** An answer that is not whole ends behind what has come of it, where the client sees that something is missing. */
  #breakOff(answer: AppAnswer<C>, atOnce: boolean): void {
    this.#isOver = true;
    if (atOnce || answer.endsWithConnection) this.#client.terminate();
    else this.#client.close();
  }

  #refuseBody(error: unknown): void {
    const answer = this.#answer;
    this.#drop();
    this.#attempt?.release();
    if (answer?.isBegun === true) return this.#breakOff(answer, false);
    const failure = new Failure("generic-bad-request", reason(error));
    this.#answerWith(this.#core.failed(failure, this.head, this.#to?.circuit ?? null));
  }

  /** Nothing more is wanted of the app. */
  #drop(): void {
    this.#dialled?.cancel();
    this.#dialled = null;
    this.#app?.terminate();
    this.#app = null;
    this.#answer = null;
  }

  /** The app was perhaps just closing its idle connection. */
  #isStale(): boolean {
    const [app, answer] = [this.#app, this.#answer];
    if (app === null || answer === null || app.idleMs < FRESH_MS) return false;
    return !answer.hasBytes && this.to.repeatable;
  }
}

// --- internal ---

const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

/** RFC 9110 §7.8: of several layers, each. */
function isOffered(chosen: string, upgradeTo: string): boolean {
  const names = offered(upgradeTo);
  return offered(chosen).every((one) => names.includes(one));
}

/** With a length, be it 0, an app might take what follows its 101 for content. */
function withoutContent(edits: HeaderEdits): HeaderEdits {
  return { ...edits, remove: [...edits.remove, "content-length", "expect"] };
}

function framed(framing: Framing): string {
  return framing.kind === "chunked" ? CHUNKED : "";
}

/** RFC 9110 §7.6.1, §10.1.4: what this connection is asked for. */
function asked({ set }: HeaderEdits, upgradeTo: string | null): string {
  const wantsTrailers = set.some((line) => line[0] === "TE");
  if (upgradeTo === null) return wantsTrailers ? "Connection: TE\r\n" : "";
  return `Connection: Upgrade${wantsTrailers ? ", TE" : ""}\r\nUpgrade: ${upgradeTo}\r\n`;
}
