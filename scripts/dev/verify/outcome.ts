/** What came of the parts of `bun run verify`, and how its end is told: failures first, counts alone on the last line. */

export interface Failure {
  /** The test's name, or what else failed. */
  name: string;
  /** The file or command that it belongs to. */
  where: string;
  message: string;
  /** A command that repeats it. */
  again: string;
}

export interface Outcome {
  passed: number;
  skipped: number;
  failures: Failure[];
}

export const NOTHING: Outcome = { passed: 0, skipped: 0, failures: [] };

export function together(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    skipped: outcomes.reduce((sum, { skipped }) => sum + skipped, 0),
    failures: outcomes.flatMap(({ failures }) => failures),
  };
}

/** The end of the output. The last line is for machines too: CI reads the counts there. */
export function summary({ passed, skipped, failures }: Outcome): string {
  const told = failures.map(
    ({ name, where, message, again }, at) => `${at + 1}. ${where}: ${name}\n${indented(message)}\n   again: ${again}\n`,
  );
  const head = failures.length === 0 ? [] : [`${failures.length} failed:\n`, ...told];
  return [...head, `${passed} passed, ${skipped} skipped, ${failures.length} failed`, ""].join("\n");
}

/** Lines of a message below its head; the middle of a long one is left out. */
export function indented(message: string): string {
  const lines = message.trimEnd().split("\n");
  const shown =
    lines.length <= MOST_LINES ? lines : [...lines.slice(0, MOST_LINES / 2), "…", ...lines.slice(-MOST_LINES / 2)];
  return shown.map((line) => `   ${line.slice(0, MOST_COLUMNS)}`).join("\n");
}

/** Minutes and seconds. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}

// --- internal ---

const MOST_LINES = 40;
const MOST_COLUMNS = 400;
