/** What samples of a worker's memory and files tell: a slope, and whether it and what is left are within their bounds. */

export interface Sample {
  /** Since traffic began. Milliseconds. */
  at: number;
  /** Bytes. */
  rss: number;
  files: number;
}

export interface Trend {
  /** Bytes an hour. */
  slope: number;
  /** Its standard error; Infinity where there are too few samples. */
  error: number;
}

/** From so many minutes on the slope is held to `SLOPE_LIMIT`; in less, what the collector leaves for later hides it. */
export const LONG_MINUTES = 30;
export const SLOPE_LIMIT = 2 ** 20;
/** A short run may grow by so much after its first third. Bytes. */
export const SHORT_GROWTH = 96 * 2 ** 20;
/** Memory rises until the collector runs: of each of so many parts the lowest sample counts. */
const PARTS = 20;
const HOUR_MS = 3_600_000;

/** Samples of the time when a worker has warmed up: after ten minutes, or the first third of a short run. */
export function settled(samples: readonly Sample[], minutes: number): Sample[] {
  const from = Math.min(10, minutes / 3) * 60_000;
  return samples.filter(({ at }) => at >= from);
}

/** Least squares over the lowest sample of each part. */
export function trendOf(samples: readonly Sample[]): Trend {
  const lows = lowsOf(samples);
  const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  const [x, y] = [mean(lows.map(({ at }) => at)), mean(lows.map(({ rss }) => rss))];
  const spread = lows.reduce((sum, { at }) => sum + (at - x) ** 2, 0);
  if (lows.length < 3 || spread === 0) return { slope: 0, error: Infinity };
  const slope = lows.reduce((sum, { at, rss }) => sum + (at - x) * (rss - y), 0) / spread;
  const residuals = lows.map(({ at, rss }) => rss - y - slope * (at - x));
  const square = residuals.reduce((sum, one) => sum + one ** 2, 0);
  const error = Math.sqrt(square / (lows.length - 2) / spread) * persistence(residuals, square);
  return { slope: slope * HOUR_MS, error: error * HOUR_MS };
}

/** What is wrong with a worker's memory. `samples`: all. */
export function memoryFaults(samples: readonly Sample[], minutes: number): string[] {
  const counted = settled(samples, minutes);
  if (minutes >= LONG_MINUTES) {
    const { slope, error } = trendOf(counted);
    // Two standard errors: what a run of this length can't tell from nothing is no fault.
    return slope - 2 * error > SLOPE_LIMIT
      ? [`memory grows by ${mib(slope)} ± ${mib(error)} MiB an hour; wanted less than ${mib(SLOPE_LIMIT)}`]
      : [];
  }
  const lows = lowsOf(counted).map(({ rss }) => rss);
  const growth = (lows.at(-1) ?? 0) - (lows[0] ?? 0);
  return growth > SHORT_GROWTH
    ? [`memory grew by ${mib(growth)} MiB after the first third; wanted less than ${mib(SHORT_GROWTH)}`]
    : [];
}

export function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

// --- internal ---

/**
 * By how much the error is larger than that of independent samples, as neighbours resemble each other: in a worker with little
 * to do the collector comes every few minutes, for 25 MB, and a run has seen some of its teeth only.
 */
function persistence(residuals: readonly number[], square: number): number {
  const products = residuals.slice(1).reduce((sum, one, at) => sum + one * (residuals[at] ?? 0), 0);
  const likeness = Math.min(0.95, Math.max(0, square === 0 ? 0 : products / square));
  return Math.sqrt((1 + likeness) / (1 - likeness));
}

function lowsOf(samples: readonly Sample[]): Sample[] {
  const lows = new Map<number, Sample>();
  const began = samples[0]?.at ?? 0;
  const length = ((samples.at(-1)?.at ?? 0) - began + 1) / PARTS;
  for (const sample of samples) {
    const part = Math.floor((sample.at - began) / length);
    if (sample.rss < (lows.get(part)?.rss ?? Infinity)) lows.set(part, sample);
  }
  return [...lows.values()];
}
