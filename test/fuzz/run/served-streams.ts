/**
 * One lane of streams through `Bun.serve`, whose parser is its own: it refuses some messages that the model takes, takes some that
 * the model refuses, and closes a connection on which a request comes too early. So a stream is sent message by message. What
 * holds all the same: the app gets nothing but messages that were written as such, each once, in their order, and whole; bait in
 * bodies, behind messages or in header lines is never one; each answer is of a request of its own stream.
 */
import { bunEngine } from "../../../worker/engine/bun/engine.ts";
import { readAnswer, readAnswers, type Answer } from "../model/answers.ts";
import { valuesOf } from "../model/fields.ts";
import { readRequests, type Request, type Verdict } from "../model/requests.ts";
import type { Stream } from "../make/streams.ts";
import { startApp, type App } from "./app.ts";
import { startProxy, type Proxy } from "./proxy.ts";
import { fingerprint, quoted, replyTo } from "./streams.ts";
import { connect, turn, type FuzzWire } from "./wires.ts";

export class ServedStreamLane {
  readonly #app: App;
  readonly #proxy: Proxy;
  readonly #stuckMs: number;
  #asked: Request[] = [];
  /** Names of the last streams' messages that had not come when they were over: the app may hear of one when its client has gone. */
  #late: string[] = [];

  /** `stuckMs`: how long nothing may come. */
  constructor(stuckMs: number) {
    this.#stuckMs = stuckMs;
    this.#app = startApp((request) => {
      this.#asked.push(request);
      return replyTo(request);
    });
    this.#proxy = startProxy(this.#app, bunEngine);
  }

  /** Gives what is wrong, a line each. */
  async play(stream: Stream): Promise<string[]> {
    this.#asked = [];
    const verdict = readRequests(stream.bytes);
    const wire = await connect({ port: this.#proxy.port });
    await this.#send(wire, stream, verdict);
    wire.finish();
    const ended = await wire.end(this.#stuckMs);
    await this.#settle();
    const faults = [...this.#judgeApp(stream, verdict), ...this.#judgeWires(), ...judgeClient(wire.text, this.#asked)];
    return ended === "stuck" ? [...faults, "the connection has not ended"] : faults;
  } // prettier-ignore

  async close(): Promise<void> {
    await this.#proxy.close();
    this.#app.stop();
  }

  // --- internal ---

  async #send(wire: FuzzWire, { bytes, cuts }: Stream, { requests }: Verdict): Promise<void> {
    const methods = requests.map(({ method }) => method);
    const ends = [...requests.map(({ end }) => end), bytes.length];
    let from = 0;
    for (const [at, to] of ends.entries()) {
      if (wire.ended !== null) return;
      const within = cuts.filter((cut) => cut > from && cut < to).map((cut) => cut - from);
      await wire.write(bytes.slice(from, to), within);
      from = to;
      if (at < requests.length) await wire.until((text) => readAnswers(text, methods, false).answers.length > at, this.#stuckMs); // prettier-ignore
    }
  }

  async #settle(): Promise<void> {
    const until = performance.now() + this.#stuckMs;
    const isBusy = () => this.#proxy.attempts() > 0 || [...this.#app.wires].some((wire) => wire.isOpen && wire.pending !== ""); // prettier-ignore
    while (isBusy() && performance.now() < until) await turn();
  }

  #judgeApp(stream: Stream, verdict: Verdict): string[] {
    const { faults, left } = judgeApp(this.#asked, stream, verdict, this.#late);
    this.#late = [...left, ...this.#late].slice(0, MOST_LATE);
    return faults;
  }

  #judgeWires(): string[] {
    const faults = this.#proxy.attempts() > 0 ? [`${this.#proxy.attempts()} requests are still under way`] : [];
    for (const wire of this.#app.wires) {
      // RFC 9110 §5.5: DEL may be kept in a value, and is; the model refuses it.
      if (wire.isFoul && !wire.pending.includes("\x7f"))
        faults.push(`the app got what is no message: ${quoted(wire.pending)}`); // prettier-ignore
      else if (!wire.isFoul && wire.isOpen && wire.pending !== "")
        faults.push(`the app has bytes of no message: ${quoted(wire.pending)}`);
      if (!wire.isOpen || wire.isFoul) this.#app.wires.delete(wire);
    }
    return faults;
  }
}

// --- internal ---

/** Of some ten streams. */
const MOST_LATE = 50;

/** By its method and the mark in its target: Bun writes targets anew, with slashes for backslashes and without an authority. */
function nameOf(opening: string): string {
  const [method = "", target = ""] = opening.split(" ");
  const path = target.replace(/^https?:\/\/[^/?]*/i, "").replaceAll("\\", "/");
  return `${method} ${/s\d+\/\d+|bait|last/.exec(path)?.[0] ?? ""}`;
}

/** What the app got against what it may get. */
interface Judgement {
  faults: string[];
  /** Names of messages that have not come. */
  left: string[];
}

function judgeApp(asked: readonly Request[], { openings }: Stream, { requests }: Verdict, late: string[]): Judgement {
  const faults: string[] = [];
  const left = openings.map(nameOf);
  const accepted = requests.filter(({ refusedWith }) => refusedWith === null);
  let next = 0;
  for (const { method, target, body } of asked) {
    const name = nameOf(`${method} ${target}`);
    const at = accepted.findIndex((one, index) => index >= next && nameOf(`${one.method} ${one.target}`) === name);
    const written = left.indexOf(name);
    if (written !== -1) left.splice(written, 1);
    const before = late.indexOf(name);
    if (before !== -1) late.splice(before, 1);
    if (at === -1 && written === -1 && before === -1) faults.push(`the app got ${name}, which is no message`);
    if (at === -1) continue;
    next = at + 1;
    const wanted = accepted[at]?.body ?? "";
    const mayLose = method === "GET" || method === "HEAD";
    if (body !== wanted && !(mayLose && body === ""))
      faults.push(`the app got ${name} with ${quoted(body)} and not ${quoted(wanted)}`);
  }
  return { faults, left };
}

/** An answer of the app names a request that the app got; none is there twice, and what we say ourselves is a refusal. */
function judgeClient(text: string, asked: readonly Request[]): string[] {
  const { answers, rest } = answersOf(text, asked);
  const faults: string[] = [];
  const owed = asked.map(fingerprint);
  for (const { status, fields } of answers) {
    const saw = valuesOf(fields, "x-saw")[0];
    const at = saw === undefined ? -1 : owed.indexOf(saw);
    if (saw !== undefined && at === -1)
      faults.push("an answer came that is of no request of this stream, or came twice");
    if (at !== -1) owed.splice(0, at + 1);
    if (saw === undefined && status < 400) faults.push(`an answer of nobody came: ${status}`);
  }
  // One that was on its way when the connection was closed.
  return isBeginning(rest) ? faults : [...faults, `the client got bytes of no answer: ${quoted(rest)}`];
}

/** Whether an answer has a body is up to its request: of the app's it is known, and of ours what follows tells. */
function answersOf(text: string, asked: readonly Request[]): { answers: Answer[]; rest: string } {
  const answers: Answer[] = [];
  for (let rest = text; ;) {
    const [asGet, asHead] = ["GET", "HEAD"].map((method) => readAnswer(rest, 0, method, false));
    if (asHead?.kind !== "answer" || asGet === undefined) return { answers, rest };
    const saw = valuesOf(asHead.answer.fields, "x-saw")[0];
    const request = asked.find((one) => fingerprint(one) === saw);
    const isHead = request === undefined ? isBeginning(rest.slice(asHead.answer.end)) : request.method === "HEAD";
    const read = isHead ? asHead : asGet;
    if (read.kind !== "answer" || !read.answer.isWhole) return { answers, rest };
    answers.push(read.answer);
    rest = rest.slice(read.answer.end);
    if (rest === "") return { answers, rest };
  }
}

/** Of an answer, or nothing. */
function isBeginning(text: string): boolean {
  return text.startsWith(BEGINNING) || BEGINNING.startsWith(text);
}

const BEGINNING = "HTTP/1.1 ";
