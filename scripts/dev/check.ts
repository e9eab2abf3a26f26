/**
 * `bun run check`: types, lint with layer rules, format, dead code, migrations, generated files, subjects of the newest commits.
 * All are run; it ends with 1 when one has failed.
 */
import { ROOT } from "../root.ts";

const CHECKS: [what: string, command: string[]][] = [
  ["types", ["tsc", "--noEmit"]],
  ["lint and layers", ["oxlint", "--type-aware", "--deny-warnings"]],
  ["format", ["oxfmt", "--check"]],
  ["dead code", ["knip"]],
  ["migrations", ["drizzle-kit", "check"]],
];

/** The newest commits, whose subjects can still be mended, and how long one may be. */
const [COMMITS, MAX_SUBJECT] = [10, 72];

let failed = 0;
for (const [what, [tool = "", ...args]] of CHECKS) failed += run(what, [process.execPath, "x", "--bun", tool, ...args]);
failed += run("generated files", [process.execPath, "scripts/dev/docs.ts", "--check"]);
failed += checkSubjects();
process.exitCode = failed > 0 ? 1 : 0;

// --- internal ---

function run(what: string, command: string[]): number {
  const started = performance.now();
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
  return tell(what, exitCode === 0, started, `${stdout.toString()}${stderr.toString()}`);
}

/** A copy without its history, or without git, has none. */
function checkSubjects(): number {
  const started = performance.now();
  if (Bun.which("git") === null) return 0;
  const { exitCode, stdout } = Bun.spawnSync(["git", "log", "--no-merges", `-${COMMITS}`, "--format=%s"], {
    cwd: ROOT,
    stderr: "ignore",
  });
  const long =
    exitCode === 0
      ? stdout
          .toString()
          .split("\n")
          .filter((subject) => subject.length > MAX_SUBJECT)
      : [];
  const fault = `wanted at most ${MAX_SUBJECT} characters, got:\n${long.join("\n")}`;
  return tell("commit subjects", long.length === 0, started, fault);
}

/** 1 for a failure. */
function tell(what: string, isGood: boolean, started: number, fault: string): number {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${isGood ? "ok  " : "FAIL"} ${what} (${seconds} s)\n`);
  if (!isGood) process.stdout.write(`${fault}\n`);
  return isGood ? 0 : 1;
}
