/**
 * Lines on their way to a stream whose reader may be slow, or not read at all: the service never waits. What is not taken at
 * once waits here, in order, up to a limit; beyond that whole lines are dropped, and told by their number once there is room
 * again. At the end of the process what waits has a moment more. A reader that is gone ends nothing.
 */
import { openLogStream, type LogStream } from "./log-stream.ts";

export interface LogOutput {
  /** Takes one line, with its end. Never waits, never throws. */
  write(line: string): void;
  /** Writes what waits, for so many milliseconds at most; the process does nothing else meanwhile. */
  flush(ms: number): void;
}

/** How much may wait. Bytes. */
const MOST = 1_048_576;
/** How long after a write that was not taken the next one is tried, if no line comes before. Milliseconds. */
const RETRY_MS = 50;
/** How long the end of the process waits for a reader, and how often it tries. Milliseconds. */
const [END_MS, END_STEP_MS] = [500, 5];

/**
 * The output of a file descriptor: the same one for all who ask, so that lines keep their order. `told` makes the line for a
 * number of lines that were dropped; the first one to ask has it.
 */
export function logOutput(fd: 1 | 2, told: (dropped: number) => string): LogOutput {
  let output = outputs.get(fd);
  if (output === undefined) {
    output = new QueuedOutput(openLogStream(fd), told);
    outputs.set(fd, output);
    process.on("exit", () => output?.flush(END_MS));
  }
  return output;
}

/** Exported for tests; services ask for `logOutput`. */
export class QueuedOutput implements LogOutput {
  readonly #stream: LogStream;
  readonly #told: (dropped: number) => string;
  readonly #most: number;
  /** The first one may have been written in part. */
  readonly #waiting: Waiting[] = [];
  #bytes = 0;
  /** Lines that came after those that wait. While there are any, all that come are dropped: lines keep their order. */
  #dropped = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(stream: LogStream, told: (dropped: number) => string, most = MOST) {
    this.#stream = stream;
    this.#told = told;
    this.#most = most;
  }

  write(line: string): void {
    this.#drain();
    const bytes = Buffer.from(line);
    const isFull = this.#waiting.length > 0 && this.#bytes + bytes.length > this.#most;
    if (isFull || this.#dropped > 0) return void this.#dropped++;
    this.#add({ bytes, lines: 1 });
    this.#drain();
  }

  flush(ms: number): void {
    const end = performance.now() + ms;
    for (this.#drain(); this.#waiting.length > 0 && performance.now() < end; this.#drain()) Bun.sleepSync(END_STEP_MS);
  }

  // --- internal ---

  #add(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#bytes += waiting.bytes.length;
  }

  /** Writes until there is no room or nothing more, and what was dropped is told. */
  #drain(): void {
    let written = 0;
    for (;;) {
      if (written === this.#waiting.length && this.#dropped > 0) {
        this.#add({ bytes: Buffer.from(this.#told(this.#dropped)), lines: this.#dropped });
        this.#dropped = 0;
      }
      const next = this.#waiting[written];
      if (next === undefined) break;
      const taken = this.#stream.write(next.bytes);
      if (taken < 0) return this.#dropAll(written);
      this.#bytes -= taken;
      next.bytes = next.bytes.subarray(taken);
      if (next.bytes.length === 0) written++;
      else if (taken === 0) break;
    }
    this.#waiting.splice(0, written);
    if (this.#waiting.length > 0) this.#later();
  }

  /** Nobody can read them. A named pipe may have another reader later: the next line tries. */
  #dropAll(written: number): void {
    for (const { lines } of this.#waiting.splice(0).slice(written)) this.#dropped += lines;
    this.#bytes = 0;
  }

  #later(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#drain();
    }, RETRY_MS);
    this.#timer.unref();
  }
}

interface Waiting {
  bytes: Uint8Array;
  /** For how many lines it stands. */
  lines: number;
}

const outputs = new Map<number, LogOutput>();
