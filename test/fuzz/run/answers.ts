/**
 * One lane of answers: an app that says what its script says, the proxy, and a client that asks one request after the other.
 * Judges what the client got against the model of what the app said.
 */
import { readAnswer, type Answer, type Read } from "../model/answers.ts";
import { trailing } from "../model/fields.ts";
import type { Request } from "../model/requests.ts";
import type { Row, Script } from "../make/answers.ts";
import { startApp, type App, type Reply } from "./app.ts";
import { socketsEngine } from "../../../worker/engine/sockets/engine.ts";
import type { Engine } from "../../../worker/seam/engine.ts";
import { startProxy, type Proxy } from "./proxy.ts";
import { quoted } from "./streams.ts";
import { connect, turn, type End, type FuzzWire } from "./wires.ts";

/** What a client got of an answer. */
export interface Got {
  read: Read;
  text: string;
  ended: End | null;
}

/** Gives what is wrong with it, a line each. */
export type Judge = (script: Script, got: Got) => string[];

export class AnswerLane {
  readonly #app: App;
  readonly #proxy: Proxy;
  readonly #stuckMs: number;
  readonly #judge: Judge;
  #scripts: readonly Script[] = [];
  /** The app has begun to answer. */
  #begun = Promise.withResolvers<void>();

  /** `stuckMs`: how long nothing may come. */
  constructor(stuckMs: number, engine: Engine = socketsEngine, judge: Judge = judgeStrictly) {
    this.#stuckMs = stuckMs;
    this.#judge = judge;
    this.#app = startApp(
      (request) => this.#replyTo(request),
      (line) => this.#earlyReplyTo(line),
    );
    this.#proxy = startProxy(this.#app, engine);
  }

  /** Gives what is wrong, a line each. */
  async play(row: Row): Promise<string[]> {
    this.#scripts = row.scripts;
    const faults = row.isPipelined ? await this.#playAtOnce(row.scripts) : await this.#playInTurn(row.scripts);
    return [...faults, ...(await this.#settle(this.#stuckMs))];
  }

  async close(): Promise<void> {
    await this.#proxy.close();
    this.#app.stop();
  }

  // --- internal ---

  /** Each request when the one before it is answered, over a connection of its own where that has closed. */
  async #playInTurn(scripts: readonly Script[]): Promise<string[]> {
    const faults: string[] = [];
    let wire: FuzzWire | null = null;
    for (const [at, script] of scripts.entries()) {
      wire ??= await connect({ port: this.#proxy.port });
      await this.#ask(wire, script, at);
      if ((await this.#hear(wire, at, faults)) && wire.ended === null) continue;
      faults.push(...(await closed(wire, this.#stuckMs)));
      wire = null;
    }
    wire?.finish();
    return wire === null ? faults : [...faults, ...(await closed(wire, this.#stuckMs))];
  }

  /** All requests at once: those behind an answer that closes the connection are not answered. */
  async #playAtOnce(scripts: readonly Script[]): Promise<string[]> {
    const faults: string[] = [];
    const wire = await connect({ port: this.#proxy.port });
    await wire.write(scripts.map((script, at) => headOf(script, at) + script.body).join(""), []);
    let goesOn = true;
    for (let at = 0; at < scripts.length && goesOn; at++) goesOn = await this.#hear(wire, at, faults);
    if (goesOn) wire.finish();
    return [...faults, ...(await closed(wire, this.#stuckMs))];
  }

  /** Judges one answer, and takes it. True when it says that the connection goes on. */
  async #hear(wire: FuzzWire, at: number, faults: string[]): Promise<boolean> {
    const script = this.#scripts[at];
    if (script === undefined) return false;
    const got = await answerOf(wire, script, this.#stuckMs);
    faults.push(
      ...this.#judge(script, got).map((fault) => `answer ${at} (${script.method} ${script.version}): ${fault}`),
    );
    const answer = got.read.kind === "answer" && got.read.answer.isWhole ? got.read.answer : null;
    wire.text = answer === null ? "" : wire.text.slice(answer.end);
    // An app's FIN behind its answer has been noticed by then.
    await turn();
    await turn();
    return answer?.goesOn === true;
  }

  async #ask(wire: FuzzWire, script: Script, at: number): Promise<void> {
    const { body, isEarly } = script;
    this.#begun = Promise.withResolvers();
    await wire.write(isEarly ? headOf(script, at) : headOf(script, at) + body, []);
    if (!isEarly) return;
    await Promise.race([this.#begun.promise, wire.end()]);
    await wire.write(body, []);
  }

  #replyTo({ target }: Request): Reply | null {
    // Head and body may have come at once.
    if (target.endsWith("/early")) this.#begun.resolve();
    return this.#scriptOf(target);
  }

  /** A head whose body has not come. */
  #earlyReplyTo(target: string): Reply | null {
    if (!target.endsWith("/early")) return null;
    this.#begun.resolve();
    return this.#scriptOf(target);
  }

  #scriptOf(target: string): Reply {
    const script = this.#scripts[Number.parseInt(target.slice(1), 10)];
    if (script !== undefined) return { ...script, isLast: isLast(script) };
    return { bytes: "HTTP/1.1 500 Unknown\r\nContent-Length: 0\r\n\r\n", cuts: [], ending: "fin", isLast: true };
  }

  async #settle(ms: number): Promise<string[]> {
    const until = performance.now() + ms;
    while (this.#proxy.attempts() > 0 && performance.now() < until) await turn();
    const left = this.#proxy.attempts();
    const faults = left === 0 ? [] : [`${left} requests are still under way`];
    for (const wire of this.#app.wires) {
      if (wire.isMisused && this.#judge === judgeStrictly)
        faults.push("a request followed an answer whose connection could not be trusted any more");
      wire.isMisused = false;
      if (!wire.isOpen) this.#app.wires.delete(wire);
    }
    return faults;
  }
}

// --- internal ---

/** RFC 9112 §9.3, §9.5: an answer that is none, has no end, says that it is the last, or is followed by bytes of nobody. */
function isLast({ bytes, method }: Script): boolean {
  const said = readAnswer(bytes, 0, method, false);
  return said.kind !== "answer" || !said.answer.isWhole || !said.answer.goesOn || said.answer.end < bytes.length;
}

/** One answer, as far as it comes. */
async function answerOf(wire: FuzzWire, { method }: Script, stuckMs: number): Promise<Got> {
  const read = () => readAnswer(wire.text, 0, method, wire.ended === "end");
  const isOver = () => {
    const now = read();
    return now.kind === "refused" || (now.kind === "answer" && now.answer.isWhole);
  };
  const isDone = await wire.until(isOver, stuckMs);
  if (!isDone && wire.ended === null) await wire.end(0);
  return { read: read(), text: wire.text, ended: wire.ended };
}

/** Nothing has come behind the answers that were taken, and nothing does. */
async function closed(wire: FuzzWire, stuckMs: number): Promise<string[]> {
  const isStuck = (await wire.end(stuckMs)) === "stuck";
  const more = wire.text;
  const faults = isStuck ? ["the client's connection has not ended"] : [];
  return more === "" ? faults : [...faults, `the client got more than its answers: ${quoted(more)}`];
}

function headOf({ method, version, body, isEarly }: Script, at: number): string {
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  return `${method} /${at}${isEarly ? "/early" : ""} ${version}\r\nHost: me\r\nConnection: keep-alive\r\n${length}\r\n`;
}

function judgeStrictly(script: Script, got: Got): string[] {
  if (got.ended === "stuck") return [`nothing came behind ${quoted(got.text)}`];
  const said = readAnswer(script.bytes, 0, script.method, script.ending === "fin");
  const { read, text } = got;
  if (read.kind === "refused") return [`the client got no answer: ${quoted(text)}`];
  const interims = said.kind === "answer" ? said.answer.interims : said.interims;
  if (interims.length <= MAX_INTERIMS && said.kind === "answer" && said.answer.isWhole)
    return judgeWhole(said.answer, script, got);
  return judgeBroken(said, got);
}

/** An app that says more of them than this before its answer is given up (chosen). */
const MAX_INTERIMS = 100;

/** The client has it, byte for byte. What an app resets behind its answer may be lost with it. */
function judgeWhole(said: Answer, script: Script, { read, ended }: Got): string[] {
  const answer = read.kind === "answer" ? read.answer : null;
  if (script.ending === "reset" || script.isEarly) return answer?.isWhole === true && answer.status !== 502 ? judgeSame(said, answer, script) : [];
  if (answer === null || !answer.isWhole) return [`the answer did not come whole (${ended})`];
  return judgeSame(said, answer, script);
} // prettier-ignore

function judgeSame(said: Answer, got: Answer, { version }: Script): string[] {
  const told = ({ status, body, trailers, interims }: Answer) =>
    JSON.stringify([
      status,
      body,
      version === "HTTP/1.0" ? [] : trailing(trailers),
      version === "HTTP/1.0" ? [] : interims.map((one) => one.status),
    ]);
  return told(said) === told(got) ? [] : [`the client got ${quoted(told(got))} and not ${quoted(told(said))}`];
}

/** 502, or the answer visibly broken off: a part of its body, and no end of it. */
function judgeBroken(said: Read, { read, ended }: Got): string[] {
  if (read.kind !== "answer") return ended === null ? ["no answer"] : [];
  const { answer } = read;
  if (answer.isWhole && answer.status === 502) return [];
  const begun = said.kind === "answer" ? said.answer : said.kind === "refused" ? said.begun : null;
  if (begun === null) return [`what is no answer came as ${answer.status}`];
  // RFC 9110 §15.3.6: 205 has no content that could be missing, and HTTP/1.0 has no chunks to say so.
  if (answer.status === 205 && answer.body === "") return [];
  if (answer.isWhole) return [`a broken answer came as whole: ${quoted(answer.body)}`];
  return begun.body.startsWith(answer.body) ? [] : [`the client got ${quoted(answer.body)} of ${quoted(begun.body)}`];
}
