/**
 * `bun run verify`: installs what the tests need, then runs check, all tests but the long ones, and some trials of the fault
 * harness; `--long` runs the long ones. Debian packages with apt-get where that is allowed; elsewhere it says what is missing
 * and how to get it. It says how far it is; at the end come failures, and on the last line the counts of tests and trials.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { ROOT } from "../root.ts";
import { clock, NOTHING, summary, together, type Outcome } from "./verify/outcome.ts";
import { runFiles } from "./verify/run-files.ts";

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
  // For the apps of `bun run apps` that the tests use: an environment of Python's own, and modules that are compiled.
  "/usr/lib/python3*/ensurepip/__init__.py": "python3-venv",
  make: "make",
  "g++": "g++",
  rg: "ripgrep",
  faketime: "faketime",
  nginx: "nginx-light",
  "/usr/lib/python3/dist-packages/aiohttp/__init__.py": "python3-aiohttp",
  haproxy: "haproxy",
  // For networks of their own.
  ip: "iproute2",
  // For the smoke of the benchmarks.
  wrk: "wrk",
  // Holds connections open, for test/attack/slow.test.ts.
  slowhttptest: "slowhttptest",
  // Programs that a worker carries.
  rclone: "rclone",
  javac: "default-jdk-headless",
  "nc.openbsd": "netcat-openbsd",
  "/usr/lib/python3/dist-packages/requests/__init__.py": "python3-requests",
};

const REPORTS = join(ROOT, "test/artefacts/verify");
const TRIALS = 25;

/** A thousand connections that wait, and three minutes more of traffic. */
const LONG = ["soak/memory", "soak/serve"].map((name) => `test/${name}.test.ts`);
const files = [...new Glob("test/**/*.test.ts").scanSync(ROOT)].filter((file) => !LONG.includes(file)).toSorted();
/** Processes that replace each other want the processor while their clients do: beside these run only those that wait. */
const ALONE = ["processes", "supervise", "upgrade"].map((name) => `test/e2e/${name}.test.ts`);
const WAITING = ["contract/slow", "worker/net/vanished-peer"].map((name) => `test/${name}.test.ts`);
/** The contract names numbers (5 ms, 64 MiB): two at once leave each a core. The others wait for most of their time. */
const isMeasured = (file: string) => file.startsWith("test/contract/") && !WAITING.includes(file);
/** Those that take long begin first, so that the last ones do not wait for one of them. */
const isFirst = (file: string) =>
  /^test\/(e2e|conformance|soak)\//.test(file) || /^test\/contract\/(http|websocket|routes)\.test\.ts$/.test(file);

const began = performance.now();
const isLong = process.argv.includes("--long");
ensurePrograms();
const say = (line: string) => void process.stdout.write(`${line}\n`);
const how = { root: ROOT, reports: REPORTS, say };
const outcome = isLong ? await runFiles({ name: "long", files: LONG, atOnce: 1 }, how) : await runAll();
if (!isLong) say(`\nnot run here: ${LONG.join(", ")}; \`bun run verify --long\` runs them`);
say(`ended after ${clock(performance.now() - began)}; what each file wrote is in test/artefacts/verify\n`);
process.stdout.write(summary(outcome));
process.exitCode = outcome.failures.length > 0 ? 1 : 0;

// --- internal ---

async function runAll(): Promise<Outcome> {
  const inOrder = files.toSorted((a, b) => Number(isFirst(b)) - Number(isFirst(a)));
  const others = inOrder.filter((file) => ![...ALONE, ...WAITING].includes(file) && !isMeasured(file));
  return together([
    // The one waits for registries, the other for the processor.
    ...(await Promise.all([runCheck(), ensureApps()])),
    ...(await Promise.all([
      runFiles({ name: "alone", files: ALONE, atOnce: 1 }, how),
      runFiles({ name: "waiting", files: WAITING, atOnce: 1 }, how),
    ])),
    await runFiles({ name: "contract", files: inOrder.filter(isMeasured), atOnce: 2 }, how),
    await runFiles({ name: "together", files: others, atOnce: 3 }, how),
    // Alone too: five seconds are five seconds.
    runTrials(),
  ]);
}

function ensurePrograms(): void {
  const missing = Object.keys(PROGRAMS).filter((program) => !isThere(program));
  if (missing.length === 0) return;
  const packages = missing.map((program) => PROGRAMS[program] ?? program);
  const install = `apt-get install --yes --no-install-recommends ${packages.join(" ")}`;
  if (process.getuid?.() !== 0 || Bun.which("apt-get") === null) {
    giveUp(`The tests need ${missing.join(", ")}. On Debian: sudo ${install}`);
  }
  process.stdout.write(`Installing ${packages.join(", ")} with apt-get…\n`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const code = withoutServices(() => run(["apt-get", "update", "--quiet"], env) || run(install.split(" "), env));
  if (code !== 0) giveUp(`apt-get failed with ${code}; wanted: ${install}`);
}

function giveUp(message: string): never {
  process.stdout.write(summary(failed("programs", message, "bun run verify")));
  process.exit(1);
}

/** Before the tests, whose limits are not for registries. Where it fails the tests that use them say so. */
async function ensureApps(): Promise<Outcome> {
  const apps = ["jupyterlab", "code-server", "uvicorn", "wstest", "schemathesis"];
  await start([process.execPath, "test/apps/main.ts", "--install", ...apps]);
  return NOTHING;
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

/** The same beside other work. */
function start(command: string[]): Promise<number> {
  return Bun.spawn(command, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] }).exited;
}

async function runCheck(): Promise<Outcome> {
  say("check: types, lint, format, dead code, migrations, generated files");
  const code = await start([process.execPath, "scripts/dev/check.ts"]);
  return code === 0 ? NOTHING : failed("check", "it is told above what is wrong", "bun run check");
}

/** Of the fault harness, with a new seed each time; it prints the seed. */
function runTrials(): Outcome {
  say(`faults: ${TRIALS} trials`);
  const report = join(REPORTS, "faults.json");
  rmSync(report, { force: true });
  const code = run([process.execPath, "test/faults/main.ts", "--trials", String(TRIALS), "--report", report]);
  const told = trialsOf(report);
  const what = told === null ? "it broke off" : `${told.failed} trials failed`;
  const isFine = code === 0 && told !== null && told.failed === 0 && told.passed > 0;
  if (isFine) return { ...NOTHING, passed: told.passed };
  const broken = failed(
    "faults",
    `${what}, exit code ${code}; its output above tells more`,
    "bun run faults, as told above",
  );
  return { ...broken, passed: told?.passed ?? 0 };
}

function trialsOf(report: string): { passed: number; failed: number } | null {
  try {
    return JSON.parse(readFileSync(report, "utf8")) as { passed: number; failed: number };
  } catch {
    return null; // it broke off, and has said why
  }
}

function failed(where: string, message: string, again: string): Outcome {
  return { ...NOTHING, failures: [{ name: "failed", where, message, again }] };
}
