/**
 * Lines that one who knocks again and again would fill a log with: the first of a kind and address is written at once; how many
 * more there were follows once a second, for as long as there are any. Used for refusals (report-failure.ts and the worker's
 * TCP circuits), never for what went wrong in a service itself.
 */
import type { Log } from "./log.ts";

/** What a line says; `error_id` is also on the page or in the answer. */
export type Line = Record<string, unknown> & { peer: string; error_id?: string | undefined };

export interface Sparing {
  level: "info" | "warn";
  /** What makes it the same as others, beside the address. */
  kind: string;
  line: Line;
  msg: string;
}

/** Writes the line, or counts it with the last one like it. Gives the error id under which it is found in the log. */
export function tellSparingly(log: Log, told: Sparing): string | undefined {
  let repeats = all.get(log);
  if (repeats === undefined) {
    watchEnd();
    repeats = new Repeats(log);
    all.set(log, repeats);
  }
  return repeats.tell(told);
}

// --- internal ---

const PERIOD_MS = 1000;
/** Kinds and addresses of one second; beyond that there is one line a kind, for all others. About half a kilobyte each. */
const MOST = 10_000;
/** Of a text that waits, so that what waits is bounded. Characters. */
const MAX_TEXT = 200;

interface Kept {
  told: Sparing;
  errorId: string | undefined;
  more: number;
  /** As of performance.now(). */
  due: number;
}

class Repeats {
  readonly #log: Log;
  /** In the order in which they are due: each waits equally long. */
  readonly #kept = new Map<string, Kept>();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  tell(told: Sparing): string | undefined {
    const own = `${told.msg} ${told.kind} ${told.line.peer}`;
    const isOne = this.#kept.has(own) || this.#kept.size < MOST;
    const key = isOne ? own : `${told.msg} ${told.kind}`;
    const kept = this.#kept.get(key);
    const shown = isOne ? told : { ...told, line: { ...told.line, peer: OTHERS } };
    if (kept !== undefined) {
      kept.more++;
      kept.told = { ...shown, line: cut(shown.line) };
      return kept.errorId;
    }
    this.#log[told.level](told.line, told.msg);
    const errorId = told.line.error_id;
    this.#keep(key, { told: { ...shown, line: cut(shown.line) }, errorId, more: 0, due: 0 });
    return errorId;
  }

  /** Writes what has been counted so far. */
  tellAll(): void {
    this.#tellUntil(Infinity);
  }

  #keep(key: string, kept: Kept): void {
    this.#kept.set(key, { ...kept, more: 0, due: performance.now() + PERIOD_MS });
    waiting.add(this);
    this.#wakeIn(PERIOD_MS);
  }

  #onTime(): void {
    this.#timer = null;
    this.#tellUntil(performance.now());
    const [next] = this.#kept.values();
    if (next === undefined) waiting.delete(this);
    else this.#wakeIn(next.due - performance.now());
  }

  #wakeIn(ms: number): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#onTime(), Math.max(1, ms));
    this.#timer.unref();
  }

  /** What is kept again is due later, or has nothing to tell. */
  #tellUntil(due: number): void {
    for (const [key, kept] of this.#kept) {
      if (kept.due > due) break;
      this.#kept.delete(key);
      const { told, errorId, more } = kept;
      if (more === 0) continue;
      this.#log[told.level]({ ...told.line, ...(errorId === undefined ? {} : { error_id: errorId }), more }, told.msg);
      this.#keep(key, kept);
    }
  }
}

const OTHERS = "others";

/** Without the path, which differs from line to line. */
function cut({ url: _url, ...line }: Line): Line {
  const short = Object.entries(line).map(([name, value]) => [name, typeof value === "string" ? value.slice(0, MAX_TEXT) : value]); // prettier-ignore
  return Object.fromEntries(short) as Line;
}

const all = new WeakMap<Log, Repeats>();
/** Those with lines that are still to be told. */
const waiting = new Set<Repeats>();
let isEndWatched = false;

function watchEnd(): void {
  if (isEndWatched) return;
  isEndWatched = true;
  // Before the log's own end, which gives a slow reader a moment for all that waits.
  process.prependListener("exit", () => {
    for (const repeats of waiting) repeats.tellAll();
  });
}
