/** Plays cases by their numbers, some at once, and measures what they leave behind: memory and descriptors. */
import { readdirSync } from "node:fs";

/** Plays one case after the other. */
export interface Lane<T> {
  /** Gives what is wrong, a line each. */
  play(one: T): Promise<string[]>;
  close(): Promise<void>;
}

export interface Failure {
  number: number;
  faults: string[];
}

export interface Course<T> {
  /** The first number, and how many. */
  from: number;
  count: number;
  /** How many are played at once. */
  lanes: number;
  make: (number: number) => T;
  open: () => Lane<T>;
  /** Called when some more have been played. */
  progress: (done: number, seconds: number) => void;
}

export interface Result {
  done: number;
  seconds: number;
  failures: Failure[];
  /** What grew from the first tenth to the end, a line each. */
  growth: string[];
}

/** After so many nothing new is learnt. */
const MOST_FAILURES = 5;
const PROGRESS_MS = 5000;
/** A process takes its time to give memory back, and the sample at a tenth is one moment's. Bytes. */
const MORE_MEMORY = 200 * 1024 * 1024;
/** Connections that are being closed. */
const MORE_DESCRIPTORS = 64;

/** Plays all, and stops after some failures. */
export async function run<T>({ from, count, lanes, make, open, progress }: Course<T>): Promise<Result> {
  const began = performance.now();
  const failures: Failure[] = [];
  let [next, done, told] = [0, 0, began];
  let early: Use | null = null;
  const work = async () => {
    const lane = open();
    while (next < count && failures.length < MOST_FAILURES) {
      const number = from + next++;
      const faults = await played(lane, make(number));
      if (faults.length > 0) failures.push({ number, faults });
      done++;
      if (early === null && done * 10 >= count) early = use();
      if (performance.now() - told < PROGRESS_MS) continue;
      told = performance.now();
      progress(done, (told - began) / 1000);
    }
    return lane;
  };
  const opened = await Promise.all(Array.from({ length: lanes }, work));
  const growth = early === null ? [] : grown(early, use());
  for (const lane of opened) await lane.close();
  return { done, seconds: (performance.now() - began) / 1000, failures, growth };
}

/** What is thrown is a fault too: nothing may throw. */
export async function played<T>(lane: Lane<T>, one: T): Promise<string[]> {
  try {
    return await lane.play(one);
  } catch (error) {
    return [`thrown: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`];
  }
}

/** What a lane of its own says of a case. */
export async function playedAlone<T>(open: () => Lane<T>, one: T): Promise<string[]> {
  const lane = open();
  const faults = await played(lane, one);
  await lane.close();
  return faults;
}

// --- internal ---

interface Use {
  memory: number;
  descriptors: number;
}

function use(): Use {
  Bun.gc(true);
  const descriptors = process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
  return { memory: process.memoryUsage.rss(), descriptors };
}

function grown(before: Use, after: Use): string[] {
  const faults: string[] = [];
  if (after.memory > before.memory + MORE_MEMORY)
    faults.push(`memory grew from ${mebibytes(before.memory)} to ${mebibytes(after.memory)} MiB`);
  if (after.descriptors > before.descriptors + MORE_DESCRIPTORS)
    faults.push(`descriptors grew from ${before.descriptors} to ${after.descriptors}`);
  return faults;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
