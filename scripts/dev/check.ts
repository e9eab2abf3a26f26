/** `bun run check`: types, lint with layer rules, format, dead code, generated files. All are run; the first failure decides the exit code. */
import { ROOT } from "../root.ts";

const CHECKS: [what: string, command: string[]][] = [
  ["types", ["tsc", "--noEmit"]],
  ["lint and layers", ["oxlint", "--type-aware", "--deny-warnings"]],
  ["format", ["oxfmt", "--check"]],
  ["dead code", ["knip"]],
  ["migrations", ["drizzle-kit", "check"]],
];

let failed = 0;
for (const [what, [tool = "", ...args]] of CHECKS) failed += run(what, [process.execPath, "x", "--bun", tool, ...args]);
failed += run("generated files", [process.execPath, "scripts/dev/docs.ts", "--check"]);
process.exitCode = failed > 0 ? 1 : 0;

// --- internal ---

function run(what: string, command: string[]): number {
  const started = performance.now();
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${exitCode === 0 ? "ok  " : "FAIL"} ${what} (${seconds} s)\n`);
  if (exitCode !== 0) process.stdout.write(`${stdout.toString()}${stderr.toString()}\n`);
  return exitCode === 0 ? 0 : 1;
}
