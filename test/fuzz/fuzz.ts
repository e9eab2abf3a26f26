/** The kinds of cases with their lanes and how they are made smaller: used by main.ts and fuzz.test.ts. */
import { makeRow, pipelined, settled, type Row } from "./make/answers.ts";
import { makeStream, type Stream } from "./make/streams.ts";
import { differences } from "./peers/differ.ts";
import type { Peer } from "./peers/peers.ts";
import { AnswerLane } from "./run/answers.ts";
import { playedAlone, run, type Lane, type Result } from "./run/lanes.ts";
import { endedWhereOdd, judgeServed } from "./run/served-answers.ts";
import { ServedStreamLane } from "./run/served-streams.ts";
import { StreamLane } from "./run/streams.ts";
import { bunEngine } from "../../worker/engine/bun/engine.ts";
import { shrink, smallerCuts, type ShrinkLimits } from "./shrink.ts";

export interface Kind<T> {
  name: string;
  make: (seed: number, number: number) => T;
  /** `stuckMs`: how long nothing may come. */
  open: (stuckMs: number) => Lane<T>;
  smaller: (one: T) => Iterable<T>;
}

/** Streams of requests. `peers` read those that a client has mutated, and some of the others. */
export function streamKind(peers: readonly Peer[] | null): Kind<Stream> {
  return {
    name: "streams",
    make: makeStream,
    open: (stuckMs) => new ComparedLane(new StreamLane(stuckMs), peers),
    *smaller(stream) {
      for (const cut of smallerCuts(stream)) yield { ...stream, ...cut, cuts: [...cut.cuts] };
    },
  };
}

/** Rows of answers. */
export const answerKind: Kind<Row> = {
  name: "answers",
  make: makeRow,
  open: (stuckMs) => new AnswerLane(stuckMs),
  *smaller({ scripts, isPipelined }) {
    if (isPipelined) yield { scripts, isPipelined: false };
    if (scripts.length > 1) for (const at of scripts.keys()) yield { scripts: scripts.toSpliced(at, 1), isPipelined };
    for (const [at, script] of scripts.entries())
      for (const { bytes, cuts } of smallerCuts(script))
        yield pipelined({ scripts: scripts.with(at, settled({ ...script, bytes, cuts: [...cuts] })), isPipelined });
  },
};

/** The same streams, through the engine on `Bun.serve`. */
export const servedStreamKind: Kind<Stream> = {
  ...streamKind(null),
  open: (stuckMs) => new ServedStreamLane(stuckMs),
  // What was written as a message is known of the whole stream alone.
  smaller: () => [],
};

/** The same rows of answers. It takes no second request before the first is answered. */
export const servedAnswerKind: Kind<Row> = {
  ...answerKind,
  make: (seed, number) => served(makeRow(seed, number)),
  open: (stuckMs) => new AnswerLane(stuckMs, bunEngine, judgeServed),
  *smaller(row) {
    for (const one of answerKind.smaller(row)) yield served(one);
  },
};

/** How one kind is run. */
export interface Plan {
  seed: number;
  from: number;
  count: number;
  progress: (done: number, seconds: number) => void;
}

/** What went wrong once, as small as it could be made. */
export interface Found<T> {
  number: number;
  faults: string[];
  smallest: T;
  /** Of the smallest one, alone on a lane of its own. */
  alone: string[];
}

export interface Outcome<T> extends Omit<Result, "failures"> {
  found: Found<T>[];
}

const LANES = 8;
const STUCK_MS = 20_000;
/** While a case is made smaller, its like is not waited for that long. Milliseconds. */
const SHRINK_STUCK_MS = 1000;
const SHRINK: ShrinkLimits = { tries: 1500, ms: 40_000 };

/** Plays all cases of a plan, and makes those that fail smaller. */
export async function fuzz<T>(kind: Kind<T>, { seed, from, count, progress }: Plan): Promise<Outcome<T>> {
  const make = (number: number) => kind.make(seed, number);
  const course = { from, count, lanes: Math.min(LANES, count), make, open: () => kind.open(STUCK_MS), progress };
  const { failures, ...result } = await run(course);
  const found: Found<T>[] = [];
  const alone = (one: T) => playedAlone(() => kind.open(SHRINK_STUCK_MS), one);
  for (const { number, faults } of failures) {
    const smallest = await shrink(make(number), kind.smaller, async (one) => (await alone(one)).length > 0, SHRINK);
    found.push({ number, faults, smallest, alone: await alone(smallest) });
  }
  return { ...result, found };
}

/** What a found fault is reported with: how to play it again, and its bytes with their cuts. */
export function report<T>({ name }: Kind<T>, seed: number, { number, faults, smallest, alone }: Found<T>): string {
  const other = name === "streams" ? "answers" : "streams";
  const smaller = alone.length > 0 ? alone : ["alone it does not fail: another one before it on its lane has a part in it"];
  return `--seed ${seed} --from ${number} --${name} 1 --${other} 0\n  ${faults.join("\n  ")}\nsmallest: ${JSON.stringify(smallest)}\n  ${smaller.join("\n  ")}\n`;
} // prettier-ignore

// --- internal ---

function served({ scripts }: Row): Row {
  return { scripts: scripts.map(endedWhereOdd), isPipelined: false };
}

/** Of valid streams, every tenth is compared: the others accept them. */
const VALID_COMPARED = 10;

class ComparedLane implements Lane<Stream> {
  readonly #lane: Lane<Stream>;
  readonly #peers: readonly Peer[] | null;
  #count = 0;

  constructor(lane: Lane<Stream>, peers: readonly Peer[] | null) {
    this.#lane = lane;
    this.#peers = peers;
  }

  async play(stream: Stream): Promise<string[]> {
    const faults = await this.#lane.play(stream);
    const isCompared = stream.isMutated || this.#count++ % VALID_COMPARED === 0;
    if (this.#peers === null || !isCompared || faults.length > 0) return faults;
    return differences(this.#peers, stream);
  }

  close(): Promise<void> {
    return this.#lane.close();
  }
}
