/**
 * Runs an operation many times at a given concurrency and sums up how long it took. Closed loop: each of
 * `concurrency` runners starts its next operation when its last one has ended.
 */

export interface Load {
  concurrency: number;
  /** How many operations are measured. */
  count: number;
  /** No operation is started after this long, so that a slow machine ends too. */
  maxMs: number;
}

export interface Figure {
  name: string;
  concurrency: number;
  count: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  perSecond: number;
}

export interface Measured<T> {
  figure: Figure;
  results: T[];
}

/** Measures `work`. The first rejection ends it: figures of a service that fails mean nothing. */
export async function measure<T>(name: string, load: Load, work: (turn: number) => Promise<T>): Promise<Measured<T>> {
  const times: number[] = [];
  const results: T[] = [];
  const start = performance.now();
  let turn = 0;
  async function runner(): Promise<void> {
    while (turn < load.count && performance.now() - start < load.maxMs) {
      const began = performance.now();
      results.push(await work(turn++));
      times.push(performance.now() - began);
    }
  }
  await Promise.all(Array.from({ length: load.concurrency }, runner));
  return { figure: sumUp(name, load.concurrency, times, performance.now() - start), results };
}

/** What times (ms) taken in `elapsed` ms amount to. */
export function sumUp(name: string, concurrency: number, times: readonly number[], elapsed: number): Figure {
  const sorted = times.toSorted((a, b) => a - b);
  return {
    name,
    concurrency,
    count: sorted.length,
    p50: round(quantile(sorted, 0.5)),
    p99: round(quantile(sorted, 0.99)),
    perSecond: Math.round((sorted.length * 1000) / elapsed),
  };
}

/** Figures as lines of a table. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((one) => [
    one.name,
    String(one.concurrency),
    String(one.count),
    one.p50.toFixed(2),
    one.p99.toFixed(2),
    String(one.perSecond),
  ]);
  const all = [["what", "concurrency", "count", "p50 ms", "p99 ms", "per second"], ...rows];
  const widths = (all[0] ?? []).map((_, at) => Math.max(...all.map((row) => row[at]?.length ?? 0)));
  const line = (row: string[]) =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ");
  return all.map(line).join("\n");
}

// --- internal ---

/** The smallest value that at least this part of all values does not exceed. */
function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
