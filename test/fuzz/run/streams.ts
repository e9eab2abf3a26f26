/** One lane of streams: a proxy and its app. Plays a stream, and judges what app and client got against the model. */
import { readAnswers, type Answer } from "../model/answers.ts";
import { passing, type Request, type Verdict } from "../model/requests.ts";
import { trailing, valuesOf } from "../model/fields.ts";
import type { Stream } from "../make/streams.ts";
import { startApp, type App, type Reply } from "./app.ts";
import { startProxy, type Proxy } from "./proxy.ts";
import { expectedOf, protocolOf, type Expected } from "./tunnels.ts";
import { connect, turn, type End } from "./wires.ts";

/** What a client got. */
export interface Got {
  text: string;
  ended: End;
}

export class StreamLane {
  readonly #app: App;
  readonly #proxy: Proxy;
  readonly #stuckMs: number;
  /** What the app got since the last stream. */
  #asked: Request[] = [];
  /** Beginnings of requests that were broken off, the newest first: the app may hear of one when its client has gone. */
  #broken: string[] = [];

  /** `stuckMs`: how long nothing may come. */
  constructor(stuckMs: number) {
    this.#stuckMs = stuckMs;
    this.#app = startApp((request) => {
      this.#asked.push(request);
      return replyTo(request);
    });
    this.#proxy = startProxy(this.#app);
  }

  /** Gives what is wrong, a line each; nothing when all is as it should be. */
  async play(stream: Stream): Promise<string[]> {
    const stuckMs = this.#stuckMs;
    const verdict = expectedOf(stream.bytes);
    this.#asked = [];
    const got = await ask({ port: this.#proxy.port }, stream, verdict, stuckMs);
    await this.#settle(stuckMs);
    return [...judgeApp(this.#asked, verdict), ...this.#judgeWires(verdict), ...judgeClient(got, verdict)];
  }

  async close(): Promise<void> {
    await this.#proxy.close();
    this.#app.stop();
  }

  // --- internal ---

  /** What was under way has ended, and bytes that are on their way have come. */
  async #settle(ms: number): Promise<void> {
    const until = performance.now() + ms;
    const isBusy = () => this.#proxy.attempts() > 0 || [...this.#app.wires].some((wire) => wire.isOpen && wire.pending !== "");
    while (isBusy() && performance.now() < until) await turn();
  } // prettier-ignore

  /** Each connection of the app holds whole messages, but for one that was broken off with its stream. */
  #judgeWires({ stop, tunnel }: Expected): string[] {
    const faults: string[] = [];
    if (this.#proxy.attempts() > 0) faults.push(`${this.#proxy.attempts()} requests are still under way`);
    if ("asked" in stop && stop.asked !== null)
      this.#broken.unshift(`${stop.asked.method} ${stop.asked.target} HTTP/1.1\r\n`);
    const raw = [...this.#app.wires].flatMap((wire) => wire.raw ?? []).join("|");
    if (raw !== (tunnel ?? "")) faults.push(`the tunnel carried ${quoted(raw)} and not ${quoted(tunnel ?? "")}`);
    for (const wire of this.#app.wires) {
      if (wire.isMisused) faults.push("a request followed an app's last answer");
      if (wire.isFoul) faults.push(`the app got what is no message: ${quoted(wire.pending)}`);
      else if (wire.pending !== "" && (wire.isOpen || !this.#isBroken(wire.pending)))
        faults.push(`the app has bytes of no message: ${quoted(wire.pending)}`);
      if (!wire.isOpen) this.#app.wires.delete(wire);
      wire.pending = "";
      if (wire.raw !== null) this.#app.wires.delete(wire);
    }
    this.#broken.splice(4);
    return faults;
  }

  #isBroken(pending: string): boolean {
    const at = this.#broken.findIndex((line) => pending.startsWith(line) || line.startsWith(pending));
    if (at !== -1) this.#broken.splice(at, 1);
    return at !== -1;
  }
}

/** What identifies a request whose body came whole. */
export function fingerprint({ method, target, body, trailers }: Request): string {
  return Bun.hash(JSON.stringify([method, target, body, trailing(trailers)])).toString(36);
}

/** Sends a stream, and gives what came until the connection ended. */
export async function ask(to: { port: number } | { unix: string }, stream: Stream, verdict: Expected, stuckMs: number): Promise<Got> {
  const wire = await connect(to);
  const { requests, stop } = verdict;
  const methods = requests.map(({ method }) => method);
  await wire.write(stream.bytes, stream.cuts);
  const isFinal = stop.kind !== "partial";
  if (verdict.tunnel !== null) {
    await wire.until((text) => text.includes(SWITCHED), stuckMs);
    wire.finish();
  } else if (stream.ends && isFinal) wire.finish();
  else if (stop.kind === "whole" || stop.kind === "partial") {
    await wire.until((text) => readAnswers(text, methods, false).answers.length >= requests.length, stuckMs);
    wire.finish();
  }
  return { ended: await wire.end(stuckMs), text: wire.text };
} // prettier-ignore

/** Names the request that it answers; now and then in pieces, or as the last answer of its connection. */
export function replyTo(request: Request): Reply {
  const saw = fingerprint(request);
  const protocol = protocolOf(request);
  const bare = `${SWITCHED}Switching\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
  if (protocol !== null) return { bytes: bare, cuts: [], ending: "keep", isLast: true, isSwitch: true };
  const kind = Number.parseInt(saw.slice(-2), 36);
  const length = kind % 40;
  const isLast = kind % 11 === 0;
  const head = `HTTP/1.1 200 OK\r\nX-Saw: ${saw}\r\nContent-Length: ${length}\r\n${isLast ? "Connection: close\r\n" : ""}\r\n`;
  const bytes = head + (request.method === "HEAD" ? "" : "b".repeat(length));
  const cuts = kind % 3 === 0 ? [9, head.length - 3, head.length + 1].filter((at) => at < bytes.length) : [];
  return { bytes, cuts, ending: isLast ? "fin" : "keep", isLast };
}

export function quoted(text: string): string {
  return text.length > 300 ? `${JSON.stringify(text.slice(0, 300))} and ${text.length - 300} bytes more` : JSON.stringify(text);
} // prettier-ignore

// --- internal ---

/** No other bytes of an app begin so. */
const SWITCHED = "HTTP/1.1 101 ";

/** Exactly the accepted messages, whole, in order. */
function judgeApp(asked: readonly Request[], { requests }: Verdict): string[] {
  const expected = requests.filter(({ refusedWith }) => refusedWith === null).map(told);
  const got = asked.map(told);
  return JSON.stringify(expected) === JSON.stringify(got)
    ? []
    : [`the app got\n    ${got.join("\n    ")}\n  and not\n    ${expected.join("\n    ")}`];
}

function told(request: Request): string {
  const { method, target, body } = request;
  return `${quoted(method)} ${quoted(target)} ${fingerprint(request)} ${quoted(body)} ${quoted(passing(request).join("|"))}`;
}

/** An answer for each accepted message, in order; a refusal where the stream was refused; the end; nothing else. */
function judgeClient(got: Got, verdict: Expected): string[] {
  if (verdict.tunnel === null) return judgeHttp(got, verdict);
  const at = got.text.indexOf(SWITCHED);
  if (at === -1) return [`the protocol was not switched (${got.ended}): ${quoted(got.text)}`];
  const behind = got.text.slice(got.text.indexOf("\r\n\r\n", at) + 4);
  const faults = behind === "" ? [] : [`the client got bytes of no app: ${quoted(behind)}`];
  const before = { ...verdict, requests: verdict.requests.slice(0, -1) };
  return [...faults, ...judgeHttp({ ...got, text: got.text.slice(0, at) }, before)];
}

function judgeHttp({ text, ended }: Got, { requests, stop }: Verdict): string[] {
  const methods = requests.map(({ method }) => method);
  const { answers, rest } = readAnswers(text, methods, false);
  const faults = requests.flatMap((request, at) => judgeAnswer(answers[at], request, at));
  const more = answers.slice(requests.length);
  if (rest !== "") faults.push(`the client got bytes of no answer: ${quoted(rest)}`);
  if (ended === "stuck") faults.push(`the connection has not ended (${stop.kind})`);
  // A message that is not whole may be refused or not: nobody waits for that answer.
  const mayRefuse = stop.kind === "partial";
  if (more.length > 1 || (more.length === 1 && stop.kind !== "refused" && !mayRefuse))
    faults.push(`the client got ${more.length} answers more: ${more.map(({ status }) => status).join(", ")}`);
  if (stop.kind === "refused") faults.push(...judgeRefusal(more[0], stop.status, ended));
  else if (ended === "reset" && stop.kind !== "partial") faults.push("the connection was reset");
  return faults;
}

function judgeAnswer(answer: Answer | undefined, request: Request, at: number): string[] {
  if (answer === undefined) return [`request ${at} (${request.method} ${request.target}) got no answer`];
  const expected = request.refusedWith ?? 200;
  if (answer.status !== expected) return [`request ${at} got ${answer.status} and not ${expected}`];
  const saw = valuesOf(answer.fields, "x-saw")[0];
  if (request.refusedWith === null && saw !== fingerprint(request)) return [`request ${at} got another one's answer`];
  return answer.interims.every(({ status }) => status === 100) ? [] : [`request ${at} got an interim answer`];
}

function judgeRefusal(answer: Answer | undefined, status: 400 | 505, ended: End): string[] {
  if (answer === undefined) return ["the stream was not refused"];
  const isAsSaid = status === 505 ? answer.status === 505 : answer.status >= 400 && answer.status < 500;
  const faults = isAsSaid ? [] : [`the refusal is ${answer.status} and not ${status}`];
  if (ended === "reset") faults.push("the connection was reset behind its refusal");
  return faults;
}
