/**
 * Runs test files, each in a process of its own, and tells how far it is. A file that breaks off, hangs or leaves programs
 * running takes nothing from the others: with its process all ends that it has started.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clock, indented, NOTHING, together, type Failure, type Outcome } from "./outcome.ts";
import { readReport } from "./report.ts";

export interface Part {
  name: string;
  /** Paths below `root`. */
  files: readonly string[];
  /** So many files run beside each other. */
  atOnce: number;
}

export interface Run {
  /** Where files are looked up, and Bun finds its configuration. */
  root: string;
  /** For reports and what the files write. */
  reports: string;
  say: (line: string) => void;
  /** So long a file may take. Milliseconds. */
  limitMs?: number;
}

/** No file takes a quarter of it on a busy machine. */
const LIMIT_MS = 20 * 60_000;
/** So often it is said what still runs. */
const STILL_MS = 30_000;

/** Resolves when all files have ended; says each one's outcome as it ends, and failures with their messages. */
export async function runFiles({ name, files, atOnce }: Part, run: Run): Promise<Outcome> {
  const began = performance.now();
  const outcomes: Outcome[] = [];
  const running = new Map<string, number>();
  const place = () => `${clock(performance.now() - began)}  ${name} ${outcomes.length}/${files.length}`;
  run.say(`${name}: ${files.length} files, ${atOnce === 1 ? "one after the other" : `${atOnce} at once`}`);
  const still = setInterval(() => {
    for (const [file, since] of running) {
      const ms = performance.now() - since;
      if (ms > STILL_MS) run.say(`${place()}  still runs (${clock(ms)}): ${file}`);
    }
  }, STILL_MS);
  const waiting = [...files];
  const lane = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const since = performance.now();
      running.set(file, since);
      const outcome = await runFile(file, run);
      running.delete(file);
      outcomes.push(outcome);
      const seconds = ((performance.now() - since) / 1000).toFixed(1);
      const { passed, failures } = outcome;
      const counts = failures.length === 0 ? `${passed} passed` : `${passed} passed, ${failures.length} FAILED`;
      run.say(`${place()}  ${file}: ${counts} (${seconds} s)`);
      for (const failure of failures) run.say(`   FAILED ${failure.name}\n${indented(failure.message)}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  clearInterval(still);
  return together(outcomes);
}

// --- internal ---

/** Says in a process's environment which run of a file it belongs to. */
const MARK = "APP_PROXY_VERIFY";

/** setpriv(1): a runner ends with this process, also when that is killed. */
const LEASH = Bun.which("setpriv") === null ? [] : ["setpriv", "--pdeathsig", "KILL"];

async function runFile(file: string, { root, reports, limitMs = LIMIT_MS }: Run): Promise<Outcome> {
  const base = join(reports, file.replaceAll("/", "-").replace(/\.ts$/, ""));
  const [report, log] = [`${base}.xml`, `${base}.log`];
  mkdirSync(reports, { recursive: true });
  for (const old of [report, log]) rmSync(old, { force: true });
  const began = performance.now();
  const mark = crypto.randomUUID();
  const child = Bun.spawn(
    [
      ...LEASH,
      process.execPath,
      // Bun reads these limits only at its start: heads as long as the worker takes them, and many open requests.
      "--max-http-header-size=65536",
      "test",
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      `./${file}`,
    ],
    {
      cwd: root,
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "65000", [MARK]: mark },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: limitMs,
      killSignal: "SIGKILL",
    },
  );
  const said = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  // What it has left may hold its streams open.
  endMarked(mark);
  const [stdout, stderr] = await said;
  writeFileSync(log, stdout + stderr);
  const command = `bun run test ${file}`;
  const again = (name: string) => `${command} -t ${JSON.stringify(name.replaceAll(" > ", " "))}`;
  const outcome = readReport(report, again) ?? NOTHING;
  const why = whyBroken(code, performance.now() - began >= limitMs, outcome, limitMs);
  if (why === null) return outcome;
  const message = `${why}. The end of what it wrote:\n${stderr.trimEnd().split("\n").slice(-20).join("\n")}`;
  const broken: Failure = { name: "the file as a whole", where: file, message, again: command };
  return { ...outcome, failures: [...outcome.failures, broken] };
}

/**
 * Ends what a file has left running. Found by its environment, because a process group or parent of its own hides it; Bun's
 * own `--no-orphans` is handed on to every Bun below, where it ends a worker at once whose supervisor is killed.
 */
function endMarked(mark: string): void {
  if (process.platform !== "linux") return;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, "latin1").includes(`${MARK}=${mark}`))
        process.kill(Number(pid), "SIGKILL");
    } catch {
      // another user's, or ended in between
    }
  }
}

/** A runner that broke off or tested nothing has failed, whatever it has counted; null when all is told by its tests. */
function whyBroken(code: number, isLate: boolean, { passed, skipped, failures }: Outcome, limitMs: number) {
  if (isLate) return `It did not end within ${clock(limitMs)}`;
  if (code !== 0 && failures.length === 0) return `The runner ended with ${code}`;
  if (code === 0 && passed + skipped === 0) return "It has no test";
  return null;
}
