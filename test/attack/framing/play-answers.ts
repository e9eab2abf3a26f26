/**
 * Plays the rows of answers: an app says a row's bytes to one client's request. What that client gets of it, what it gets
 * behind it over the same connection, and what another client gets meanwhile is judged.
 */
import { deviationOf } from "../../contract/engines.ts";
import type { Stage } from "../../contract/stage.ts";
import { readAnswer, type Answer, type Read } from "../../fuzz/model/answers.ts";
import { valuesOf } from "../../fuzz/model/fields.ts";
import type { Request } from "../../fuzz/model/requests.ts";
import { startApp, type Reply } from "../../fuzz/run/app.ts";
import { connect, turn, type FuzzWire } from "../../fuzz/run/wires.ts";
import type { AnswerRow, Seen } from "./answer-row.ts";

const STUCK_MS = 20_000;
const HOSTILE = "/hostile";
const REUSED = "a connection to an app is used again though bytes of no answer came with the last one";

export interface AnswerPlayer {
  /** What is wrong, a line each. */
  play(row: AnswerRow): Promise<string[]>;
  stop(): void;
}

export async function startAnswerPlayer(stage: Stage): Promise<AnswerPlayer> {
  let row: AnswerRow | null = null;
  let told = Promise.withResolvers<void>();
  const app = startApp((request) =>
    row !== null && request.target === HOSTILE ? hostile(row, told.promise) : honest(request),
  );
  const isStrict = deviationOf(stage.shape.engine, REUSED) === undefined;
  const to = await stage.open({ upstream: app.port, public: true });
  const head = (method: string, target: string) => `${method} ${target} HTTP/1.1\r\nHost: ${to.host}\r\n\r\n`;

  /** What is asked of the honest app comes back as its own. */
  async function own(wire: FuzzWire, target: string): Promise<string[]> {
    wire.text = "";
    await wire.write(head("GET", target), []);
    const read = await answerOf(wire, "GET");
    const answer = read.kind === "answer" ? read.answer : null;
    const isOwn = answer?.isWhole === true && answer.body === target && valuesOf(answer.fields, "x-saw")[0] === target;
    const faults = isOwn ? [] : [`${target} was answered with ${JSON.stringify(wire.text)}`];
    return answer !== null && answer.end < wire.text.length ? [...faults, "bytes follow its answer"] : faults;
  }

  return {
    async play(given) {
      row = given;
      told = Promise.withResolvers();
      const { method = "GET" } = given;
      const [wire, other] = [await connect({ port: to.port }), await connect({ port: to.port })];
      await wire.write(head(method, HOSTILE), []);
      const read = await answerOf(wire, method);
      const faults = judge(read, wire, given, seenBy(stage, given));
      told.resolve();
      // The late bytes are on their way.
      await turn();
      faults.push(...(await own(other, "/other")));
      const goesOn = wire.ended === null && read.kind === "answer" && read.answer.isWhole && read.answer.goesOn;
      const after = goesOn ? wire : await connect({ port: to.port });
      faults.push(...(await own(after, "/after")), ...(await own(other, "/other/again")));
      for (const one of [wire, after, other]) one.finish();
      for (const one of [wire, after, other]) if ((await one.end(STUCK_MS)) === "stuck") faults.push("a connection has not ended"); // prettier-ignore
      for (const one of app.wires) {
        if (one.isMisused && isStrict)
          faults.push("a request followed an answer whose connection could not be trusted any more");
        if (!one.isOpen || one.isMisused) app.wires.delete(one);
      }
      return faults;
    },
    stop: () => app.stop(),
  };
}

// --- internal ---

function seenBy({ shape: { engine } }: Stage, { seen, serve }: AnswerRow): Seen {
  if (serve === undefined || engine !== "serve") return seen;
  return "because" in serve || deviationOf(engine, serve.deviation) !== undefined ? serve.seen : seen;
}

/** RFC 9112 §9.3, §9.5: nobody may ask again behind what is no answer, has no end, or is followed by bytes of nobody. */
function hostile({ bytes, ending = "keep", method = "GET", late }: AnswerRow, when: Promise<void>): Reply {
  const said = readAnswer(bytes, 0, method, false);
  const isLast =
    said.kind !== "answer" || !said.answer.isWhole || !said.answer.goesOn || said.answer.end < bytes.length;
  return { bytes, cuts: [], ending, isLast, ...(late === undefined ? {} : { late: { bytes: late, when } }) };
}

function honest({ target }: Request): Reply {
  const lines = `X-Saw: ${target}\r\nContent-Type: text/plain\r\nContent-Length: ${target.length}\r\n`;
  return { bytes: `HTTP/1.1 200 OK\r\n${lines}\r\n${target}`, cuts: [], ending: "keep" };
}

async function answerOf(wire: FuzzWire, method: string): Promise<Read> {
  const read = () => readAnswer(wire.text, 0, method, wire.ended === "end");
  const isOver = () => {
    const now = read();
    return now.kind === "refused" || (now.kind === "answer" && now.answer.isWhole);
  };
  await wire.until(isOver, STUCK_MS);
  return read();
}

function judge(read: Read, wire: FuzzWire, { lacks = [] }: AnswerRow, seen: Seen): string[] {
  const faults: string[] = [];
  const told = wire.text.toLowerCase();
  const head = told.slice(0, told.indexOf("\r\n\r\n") + 4);
  for (const one of lacks) if (head.includes(one.toLowerCase())) faults.push(`the client got ${one} in its head`);
  const answer = read.kind === "answer" ? read.answer : null;
  if (answer !== null && answer.end < wire.text.length) faults.push(`bytes follow the answer: ${wire.text.slice(answer.end)}`); // prettier-ignore
  if (isAsSaid(answer, wire, seen)) return faults;
  return [...faults, `the client got ${JSON.stringify(wire.text.slice(0, 300))} (${wire.ended}) and not ${JSON.stringify(seen)}`]; // prettier-ignore
}

function isAsSaid(answer: Answer | null, wire: FuzzWire, seen: Seen): boolean {
  const isRefusal = answer?.isWhole === true && answer.status === 502;
  switch (seen.kind) {
    case "refused":
      return isRefusal;
    case "torn":
      return isRefusal || (answer?.isWhole !== true && wire.ended !== null);
    case "whole":
      return answer?.isWhole === true && answer.status === seen.status && answer.body === seen.body;
  }
}
