/**
 * `bun run verify`: installs what the tests need, then runs check, all tests and some trials of the fault harness. Debian
 * packages with apt-get where that is allowed; elsewhere it says what is missing and how to get it. Its last line counts
 * tests and trials.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { ROOT } from "./root.ts";

/** Program that the tests start, or file that they serve → Debian package that has it. */
const PROGRAMS: Record<string, string> = {
  "redis-server": "redis-server",
  chromium: "chromium",
  "jupyter-notebook": "jupyter-notebook",
  shellinaboxd: "shellinabox",
  Xtigervnc: "tigervnc-standalone-server",
  xev: "x11-utils",
  websockify: "websockify",
  "/usr/share/novnc/vnc.html": "novnc",
  "/usr/sbin/sshd": "openssh-server",
  ssh: "openssh-client",
  curl: "curl",
  git: "git",
  openssl: "openssl",
  "/usr/lib/postgresql/*/bin/postgres": "postgresql",
  faketime: "faketime",
  nginx: "nginx-light",
  haproxy: "haproxy",
};

const REPORTS = join(ROOT, "test/artefacts");

/**
 * The contract names numbers (5 ms, 64 MiB), and processes that replace each other want the processor while their clients do:
 * these tests run alone; the others share the machine.
 */
const files = [...new Glob("test/**/*.test.ts").scanSync(ROOT)].toSorted();
const isMeasured = (file: string) =>
  (file.startsWith("test/contract/") && !file.endsWith("/slow.test.ts")) ||
  ["test/e2e/supervise.test.ts", "test/e2e/upgrade.test.ts"].includes(file);

ensurePrograms();
const checked = run([process.execPath, "scripts/check.ts"]);
// Bun reads these limits only at its start: many requests that are open, and heads as long as the worker takes them.
const measured = runTests("contract", ["--max-http-header-size=65536", "test"], files.filter(isMeasured));
const others = runTests(
  "others",
  ["test", "--parallel=2"],
  files.filter((file) => !isMeasured(file)),
);
// Alone too: five seconds are five seconds.
const trials = runTrials(25);
const parts = [measured, others, trials];
const total = (of: (part: Outcome) => number) => parts.reduce((sum, part) => sum + of(part), 0);
const failed = total((part) => part.failed);
process.stdout.write(
  `\n${total((part) => part.passed)} passed, ${total((part) => part.skipped)} skipped, ${failed} failed\n`,
);
const broken = parts.some((part) => part.code !== 0 || part.passed === 0);
process.exitCode = checked || (broken || failed > 0 ? 1 : 0);

// --- internal ---

function ensurePrograms(): void {
  const missing = Object.keys(PROGRAMS).filter((program) => !isThere(program));
  if (missing.length === 0) return;
  const packages = missing.map((program) => PROGRAMS[program] ?? program);
  const install = `apt-get install --yes --no-install-recommends ${packages.join(" ")}`;
  if (process.getuid?.() !== 0 || Bun.which("apt-get") === null) {
    process.stdout.write(`The tests need ${missing.join(", ")}. On Debian: sudo ${install}\n`);
    process.exit(1);
  }
  process.stdout.write(`Installing ${packages.join(", ")} with apt-get…\n`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const code = withoutServices(() => run(["apt-get", "update", "--quiet"], env) || run(install.split(" "), env));
  if (code !== 0) {
    process.stdout.write(`apt-get failed with ${code}; wanted: ${install}\n`);
    process.exit(1);
  }
}

/** Debian starts the services of packages at once (invoke-rc.d(8)); nobody who runs tests asked for an open sshd. */
function withoutServices(install: () => number): number {
  const policy = "/usr/sbin/policy-rc.d";
  if (existsSync(policy)) return install();
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    return install();
  } finally {
    rmSync(policy);
  }
}

/** Paths are looked at as they are: `sbin` is not in everybody's PATH, and some have a version in it. */
function isThere(program: string): boolean {
  if (program.includes("*")) return [...new Glob(program).scanSync("/")].length > 0;
  return program.startsWith("/") ? existsSync(program) : Bun.which(program) !== null;
}

function run(command: string[], env: Record<string, string> = {}): number {
  return Bun.spawnSync(command, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  }).exitCode;
}

interface Outcome {
  code: number;
  passed: number;
  skipped: number;
  failed: number;
}

function runTests(name: string, options: readonly string[], which: readonly string[]): Outcome {
  const report = join(REPORTS, `junit-${name}.xml`);
  mkdirSync(REPORTS, { recursive: true });
  rmSync(report, { force: true });
  const code = run(
    [
      process.execPath,
      ...options,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...which.map((file) => `./${file}`),
    ],
    { BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" },
  );
  return { code, ...count(report) };
}

/** Of the fault harness, with a new seed each time; it prints the seed. */
function runTrials(trials: number): Outcome {
  const report = join(REPORTS, "faults.json");
  rmSync(report, { force: true });
  const code = run([process.execPath, "test/faults/main.ts", "--trials", String(trials), "--report", report]);
  try {
    const { passed, failed } = JSON.parse(readFileSync(report, "utf8")) as { passed: number; failed: number };
    return { code, passed, skipped: 0, failed };
  } catch {
    return { code, passed: 0, skipped: 0, failed: 0 }; // it broke off, and has said why
  }
}

/** From the runner's own report, so that a runner that broke off does not count as passed. */
function count(report: string): Omit<Outcome, "code"> {
  try {
    const [head = ""] = /<testsuites [^>]*>/.exec(readFileSync(report, "utf8")) ?? [];
    const of = (what: string) => Number(new RegExp(` ${what}="(\\d+)"`).exec(head)?.[1] ?? 0);
    const [failed, skipped] = [of("failures"), of("skipped")];
    return { passed: of("tests") - failed - skipped, skipped, failed };
  } catch {
    return { passed: 0, skipped: 0, failed: 0 }; // no report: the runner has said why
  }
}
