/**
 * Collects figures of several columns (the proxies side by side) and makes the table of them. A figure that is measured
 * again joins the earlier ones: the table shows their median, because other work on the machine disturbs single runs.
 */

export interface Row {
  what: string;
  unit: string;
  /** Median by column. */
  values: Record<string, number>;
  /** All that was measured, by column. */
  samples: Record<string, number[]>;
  /** `worker ÷ haproxy` → ratio. */
  ratios: Record<string, number>;
}

/** Below this a ratio to it says nothing. */
const NEXT_TO_NOTHING = 0.02;

export class Sheet {
  readonly #rows = new Map<string, Row>();
  readonly #columns: readonly string[];
  readonly #ratios: readonly (readonly [of: string, to: string])[];

  constructor(columns: readonly string[], ratios: readonly (readonly [of: string, to: string])[]) {
    this.#columns = columns;
    this.#ratios = ratios;
  }

  add(what: string, unit: string, column: string, value: number): void {
    const row = this.#rows.get(what) ?? { what, unit, values: {}, samples: {}, ratios: {} };
    this.#rows.set(what, row);
    const samples = (row.samples[column] ??= []);
    samples.push(round(value));
    row.values[column] = median(samples);
    // How busy a core was tells of the measurement, not of who is better.
    if (unit === "cores") return;
    for (const [of, to] of this.#ratios) {
      const [a, b] = [row.values[of], row.values[to]];
      if (a !== undefined && b !== undefined && b >= NEXT_TO_NOTHING) row.ratios[`${of} ÷ ${to}`] = round(a / b);
    }
  }

  /** The median, or NaN when nothing was measured. */
  value(what: string, column: string): number {
    return this.#rows.get(what)?.values[column] ?? Number.NaN;
  }

  ratio(what: string, of: string, to: string): number {
    return this.value(what, of) / this.value(what, to);
  }

  rows(): Row[] {
    return [...this.#rows.values()];
  }

  text(): string {
    const names = this.#ratios.map(([of, to]) => `${of} ÷ ${to}`);
    const lines = this.rows().map((row) => [
      row.what,
      row.unit,
      ...this.#columns.map((column) => shown(row.values[column])),
      ...names.map((name) => row.ratios[name]?.toFixed(2) ?? ""),
    ]);
    return align([["", "", ...this.#columns, ...names], ...lines]);
  }
}

// --- internal ---

function align(rows: readonly string[][]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const cell = (text: string, at: number) => (at < 2 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0));
  return rows.map((row) => row.map(cell).join("  ").trimEnd()).join("\n");
}

function shown(value: number | undefined): string {
  if (value === undefined) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(value >= 10 ? 1 : 2);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const high = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : round(((sorted[half - 1] ?? Number.NaN) + high) / 2);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
