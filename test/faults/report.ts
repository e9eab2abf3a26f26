/** What a run says at its end: how long nodes took to agree with the database, by fault. */

export interface Result {
  index: number;
  fault: string;
  after: number;
  failures: readonly string[];
  /** Answers of nodes that had not heard of a change yet. */
  late: number;
}

export function summary(results: readonly Result[]): string {
  const names = [...new Set(results.map(({ fault }) => fault))].toSorted();
  const rows = names.map((name) => {
    const mine = results.filter(({ fault }) => fault === name);
    const times = mine.map(({ after }) => after).toSorted((a, b) => a - b);
    const failed = mine.filter(({ failures }) => failures.length > 0).length;
    const late = mine.reduce((sum, one) => sum + one.late, 0);
    return [
      name,
      String(mine.length),
      ms(at(times, 0.5)),
      ms(at(times, 0.99)),
      ms(at(times, 1)),
      String(failed),
      String(late),
    ];
  });
  return table([["fault", "trials", "p50 ms", "p99 ms", "max ms", "failed", "late"], ...rows]);
}

// --- internal ---

/** Of sorted values: the nearest rank. */
function at(values: readonly number[], share: number): number {
  return values[Math.min(values.length - 1, Math.max(0, Math.ceil(share * values.length) - 1))] ?? 0;
}

function ms(value: number): string {
  return value.toFixed(0);
}

function table(rows: readonly string[][]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  "),
    )
    .join("\n");
}
