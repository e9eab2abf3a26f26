/**
 * Plays the rows of requests through a worker: each in one piece with a marked second request behind it, and each again with
 * the second one sent only when the first has its answer. Says what client and app saw otherwise than the row has it.
 */
import { deviationOf } from "../../contract/engines.ts";
import type { Opened, Stage } from "../../contract/stage.ts";
import { readAnswers, type Answer } from "../../fuzz/model/answers.ts";
import { valuesOf } from "../../fuzz/model/fields.ts";
import type { Request } from "../../fuzz/model/requests.ts";
import { startApp, type App, type Reply } from "../../fuzz/run/app.ts";
import { connect, turn, type End, type FuzzWire } from "../../fuzz/run/wires.ts";
import { PIPELINED, type Otherwise, type Outcome, type RequestRow } from "./row.ts";

/** No row takes longer that is not stuck. Milliseconds. */
const STUCK_MS = 20_000;
/** How `Bun.serve` says that it has not understood a request is its own: its parser does not tell us. */
const REFUSALS = new Set([400, 408, 413, 431, 505]);

export interface Player {
  /** What is wrong, a line each. */
  play(row: RequestRow): Promise<string[]>;
  stop(): void;
}

/** What came of a row. */
interface Seen {
  answers: Answer[];
  /** Of the client's connection. */
  ended: End | null;
  rest: string;
  asked: Request[];
  /** What is wrong whatever the row says. */
  faults: string[];
}

export async function startPlayer(stage: Stage): Promise<Player> {
  let asked: Request[] = [];
  const app = startApp((request) => {
    asked.push(request);
    return replyTo(request);
  });
  const open = { public: await stage.open({ upstream: app.port, public: true }), private: await stage.open({ upstream: app.port }) }; // prettier-ignore
  /** Nothing is pipelined where that closes the connection: then only what the app gets can be told. */
  const isPipelined = deviationOf(stage.shape.engine, PIPELINED) === undefined;
  const isOwnParser = stage.shape.engine === "sockets";

  /** Another client's request comes back as its own, and whatever came before it has reached the app by then. */
  async function settled(to: Opened, isFoul: boolean): Promise<string[]> {
    const wire = await connect({ port: to.port });
    const mark = `/settled/${crypto.randomUUID()}`;
    await wire.write(`GET ${mark} HTTP/1.1\r\nHost: ${to.host}\r\nCookie: ${to.cookie}\r\nConnection: close\r\n\r\n`, []);
    await wire.end(STUCK_MS);
    const { answers } = readAnswers(wire.text, ["GET"], true);
    const saw = answers.map((answer) => valuesOf(answer.fields, "x-saw")[0]).join();
    asked = asked.filter(({ target }) => target !== mark);
    const faults = saw === `GET ${mark}` ? [] : [`another client got ${JSON.stringify(wire.text)}`];
    return [...faults, ...(await leftOver(app, isFoul))];
  } // prettier-ignore

  async function send(to: Opened, row: RequestRow, isAtOnce: boolean): Promise<Seen> {
    asked = [];
    const written = (bytes: string) => bytes.replaceAll("HOST", to.host).replaceAll("PERMIT", to.cookie);
    const cookie = row.isPrivate === true ? "Cookie: PERMIT\r\n" : "";
    const second = written(`GET /second HTTP/1.1\r\nHost: HOST\r\n${cookie}\r\n`);
    const wire = await connect({ port: to.port });
    await wire.write(written(row.bytes) + (isAtOnce && row.isHalf !== true ? second : ""), []);
    const wanted = outcomeOf(stage, row);
    const methods = wanted.upstream.map((line) => line.split(" ", 1)[0] ?? "");
    const count = () => readAnswers(wire.text, methods, wire.ended === "end").answers.length;
    if (!isAtOnce) await wire.until(() => count() >= wanted.statuses.length, STUCK_MS);
    if (!isAtOnce && wanted.goesOn) await wire.write(second, []);
    else if (!isAtOnce) await writeLate(wire, second);
    const all = wanted.statuses.length + Number(wanted.goesOn);
    if (row.isHalf === true) wire.finish();
    else if (wanted.goesOn) await wire.until(() => count() >= all, STUCK_MS);
    if (wanted.goesOn) wire.finish();
    const ended = await wire.end(STUCK_MS);
    const { answers, rest } = readAnswers(wire.text, methods, ended === "end");
    const faults = await settled(to, "isFoul" in wanted && wanted.isFoul);
    return { answers, ended, rest, asked, faults };
  }

  return {
    async play(row) {
      const to = row.isPrivate === true ? open.private : open.public;
      const wanted = outcomeOf(stage, row);
      const host = (text: string) => text.replaceAll("HOST", to.host);
      const upstream = [...wanted.upstream.map(host), ...(wanted.goesOn ? ["GET /second"] : [])];
      const atOnce = await send(to, row, true);
      const faults = isPipelined
        ? [...judgeClient(atOnce, wanted, isOwnParser), ...judgeApp(atOnce, upstream)]
        : judgeBegun(atOnce, upstream);
      const said = (of: string, more: string[]) => more.map((fault) => `${of}: ${fault}`);
      if (row.isHalf === true) return said("at once", [...faults, ...judgeFields(atOnce, row, host)]);
      const inTurn = await send(to, row, false);
      return [
        ...said("at once", [...faults, ...atOnce.faults]),
        ...said("in turn", [
          ...judgeClient(inTurn, wanted, isOwnParser),
          ...judgeApp(inTurn, upstream),
          ...inTurn.faults,
        ]),
        ...judgeFields(inTurn, row, host),
      ];
    },
    stop: () => app.stop(),
  };
}

// --- internal ---

function outcomeOf({ shape: { engine } }: Stage, { outcome, serve }: RequestRow): Outcome | Otherwise {
  if (serve === undefined || engine !== "serve") return outcome;
  return "because" in serve || deviationOf(engine, serve.deviation) !== undefined ? serve : outcome;
}

/** Onto a connection that is to have ended: what happens to these bytes is what is looked at. */
async function writeLate(wire: FuzzWire, bytes: string): Promise<void> {
  if (wire.ended === null) await wire.write(bytes, []);
}

function replyTo(request: Request): Reply {
  const { method, target } = request;
  const body = method === "HEAD" ? "" : "seen";
  const saw = `X-Saw: ${method} ${target.replaceAll(/[^!-~]/g, "?")}`;
  return { bytes: `HTTP/1.1 200 OK\r\n${saw}\r\nContent-Length: 4\r\n\r\n${body}`, cuts: [], ending: "keep" };
}

/** Each connection of the app holds whole messages; a part of one only where it was broken off. */
async function leftOver(app: App, mayBeFoul: boolean): Promise<string[]> {
  const isOpen = () => [...app.wires].some((wire) => wire.isOpen && wire.pending !== "");
  for (const until = performance.now() + STUCK_MS; isOpen() && performance.now() < until;) await turn();
  const faults: string[] = [];
  for (const wire of app.wires) {
    if (wire.isFoul && !mayBeFoul) faults.push(`the app got what is no message: ${JSON.stringify(wire.pending)}`);
    else if (!wire.isFoul && wire.isOpen && wire.pending !== "") faults.push(`the app waits for the rest of ${JSON.stringify(wire.pending)}`); // prettier-ignore
    if (!wire.isOpen) app.wires.delete(wire);
  }
  return faults;
}

function judgeClient({ answers, ended, rest }: Seen, wanted: Outcome, isOwnParser: boolean): string[] {
  const statuses = [...wanted.statuses, ...(wanted.goesOn ? [200] : [])];
  const got = answers.map(({ status }) => status);
  const isAsSaid = statuses.every((status, at) => isOneOf(status, got[at], isOwnParser));
  const faults = isAsSaid && got.length <= statuses.length ? [] : [`the client got ${got.join(", ") || "no answer"} and not ${statuses.join(", ")}`]; // prettier-ignore
  if (ended === "stuck") faults.push("the connection has not ended");
  if (ended === "reset" && !wanted.statuses.includes(null)) faults.push("the connection was reset");
  return rest === "" ? faults : [...faults, `the client got bytes of no answer: ${JSON.stringify(rest)}`];
}

function isOneOf(wanted: Outcome["statuses"][number], got: number | undefined, isOwnParser: boolean): boolean {
  if (got === undefined) return wanted === null;
  if (wanted === null) return got >= 400;
  if (!isOwnParser && (wanted === "400 or 408" || REFUSALS.has(wanted))) return REFUSALS.has(got);
  return wanted === "400 or 408" ? got === 400 || got === 408 : got === wanted;
}

function judgeApp({ asked }: Seen, wanted: string[]): string[] {
  const got = asked.map(told);
  return Bun.deepEquals(got, wanted) ? [] : [`the app got ${JSON.stringify(got)} and not ${JSON.stringify(wanted)}`];
}

/** Of a connection that may be closed at any time: what the app got is the beginning of what it may get. */
function judgeBegun(seen: Seen, wanted: string[]): string[] {
  const faults = judgeApp(seen, wanted.slice(0, seen.asked.length));
  return seen.ended === "stuck" ? [...faults, "the connection has not ended"] : faults;
}

function told({ method, target, body }: Request): string {
  return `${method} ${target}${body === "" ? "" : ` ${body}`}`;
}

function judgeFields({ asked: [first] }: Seen, row: RequestRow, host: (text: string) => string): string[] {
  const { has = [], lacks = [], trailers } = row;
  if (first === undefined) return [];
  const faults = has.flatMap(([name, value]) => {
    const values = valuesOf(first.fields, name);
    return values.length === 1 && values[0] === host(value) ? [] : [`the app got ${name}: ${JSON.stringify(values)}`];
  });
  const head = first.fields.map(({ name, value }) => `${name}: ${value}`).join("\n");
  for (const one of lacks) if (head.toLowerCase().includes(one.toLowerCase())) faults.push(`the app got ${one}: ${JSON.stringify(head)}`); // prettier-ignore
  const names = first.trailers.map(({ name }) => name);
  if (trailers !== undefined && !Bun.deepEquals(names, trailers)) faults.push(`the app got the trailers ${names.join()}`);
  return faults;
} // prettier-ignore
