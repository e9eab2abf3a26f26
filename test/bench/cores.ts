/**
 * Programs of the traffic benchmarks and the cores they run on: the proxy under test has the last core for itself,
 * everything else (upstream, load, Redis) the other ones. Called by whatever starts a process.
 */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { until } from "../support/until.ts";

/** Program → Debian package that has it. */
const PROGRAMS: Record<string, string> = {
  wrk: "wrk",
  haproxy: "haproxy",
  nginx: "nginx",
  node: "nodejs",
  taskset: "util-linux",
  unshare: "util-linux",
  ip: "iproute2",
  "redis-server": "redis-server",
};

/** Connections through one proxy at once. */
const WANTED_PAIRS = 10_100;
const OTHER_FILES = 200;
const WANTED_FILES = 2 * WANTED_PAIRS + OTHER_FILES;

/** An idle load opens 10,000 connections before it says so. */
const SAID_WITHIN_MS = 60_000;
const KEPT_LINES = 200;

/** Lists of cores as `taskset -c` takes them. */
export const CORES = splitCores(allowedCores());

export interface Child {
  readonly pid: number;
  /** Resolves with the first line of its output that contains `text`; rejects when it ends before that. */
  said(text: string): Promise<string>;
  /** True; throws with its last words when it has ended. */
  alive(): true;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** One line that names all of these that are missing; null when nothing is. */
export function missingPrograms(needed: readonly string[] = Object.keys(PROGRAMS)): string | null {
  const missing = needed.filter((program) => Bun.which(program) === null);
  if (missing.length === 0) return null;
  const packages = missing.map((program) => PROGRAMS[program]).join(" ");
  return `The benchmarks need ${missing.join(", ")}. On Debian: apt-get install ${packages}`;
}

/** Runs `work` with this process, and all that it starts, off the proxy's core and with enough files. */
export async function beside<T>(work: () => Promise<T>): Promise<T> {
  const before = allowedCores().join(",");
  pin(process.pid, CORES.rest);
  // Raising the hard limit takes root; without it fewer idle WebSockets are opened.
  Bun.spawnSync(["prlimit", "--pid", String(process.pid), `--nofile=${WANTED_FILES}:${WANTED_FILES}`]);
  try {
    return await work();
  } finally {
    pin(process.pid, before);
  }
}

/** How many connections a proxy can carry: each takes a file to either side, and it needs some for itself. */
export function maxPairs(): number {
  return Math.min(WANTED_PAIRS, Math.floor((fileLimit() - OTHER_FILES) / 2));
}

/** How many files a process started from here may open. */
function fileLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 1024);
}

/** Starts a program on the given cores. */
export function startOn(cores: string, command: string[], env: Record<string, string> = {}): Child {
  const child = Bun.spawn(["taskset", "-c", cores, ...command], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return {
    pid: child.pid,
    ...listen(child),
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await child.exited;
    },
  };
}

/** Runs a program beside the proxy to its end and gives its output. Throws when it fails or takes over `ms`. */
export async function runBeside(command: string[], ms: number): Promise<string> {
  const child = Bun.spawn(["taskset", "-c", CORES.rest, ...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: ms,
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code === 0) return out;
  throw new Error(`${command.join(" ").slice(0, 300)} ended with ${code} (limit ${ms} ms): ${err.slice(-1000)}`);
}

// --- internal ---

function listen(child: Bun.Subprocess<"ignore", "pipe", "pipe">): Pick<Child, "said" | "alive"> {
  const lines: string[] = [];
  let ended: number | null = null;
  void read(child.stdout);
  void read(child.stderr);
  void child.exited.then((code) => void (ended = code));

  async function read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
      lines.splice(0, lines.length - KEPT_LINES);
    }
  }
  function alive(): true {
    if (ended !== null) throw new Error(`a program ended with ${ended}: ${lines.slice(-10).join("\n")}`);
    return true;
  }
  const find = (text: string) => lines.find((line) => line.includes(text)) ?? (alive() && null);
  return { alive, said: (text) => until(() => find(text), SAID_WITHIN_MS, `a program says "${text}"`) };
}

/** All threads of a process. */
function pin(pid: number, cores: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["taskset", "-a", "-c", "-p", cores, String(pid)]);
  if (exitCode !== 0) throw new Error(`taskset cannot pin to ${cores}: ${stderr.toString()}`);
}

function splitCores(allowed: readonly number[]): { proxy: string; rest: string; all: string } {
  const rest = allowed.length > 1 ? allowed.slice(0, -1) : allowed;
  return { proxy: String(allowed.at(-1)), rest: rest.join(","), all: allowed.join(",") };
}

/** `0-1,4` as the kernel writes it. */
function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (list === undefined) return cpus().map((_, at) => at);
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}
