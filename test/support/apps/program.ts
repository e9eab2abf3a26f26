/**
 * Programs that tests put behind circuits, started as a container starts them. Stopping one ends its children too,
 * also those with a process group of their own (kernels, shells in a terminal): they are looked up in /proc.
 */
import { readFileSync, readdirSync } from "node:fs";
import { startOutside, type Outside } from "../outside.ts";
import { accepts, until } from "../until.ts";

export interface Program {
  readonly process: Outside;
  /** Everything that it has written so far, both streams. */
  output: () => string;
  stop: () => Promise<void>;
}

export interface ProgramOptions {
  env?: Record<string, string | undefined>;
  cwd?: string;
}

/** How long a program may take to end by itself. Milliseconds. */
const GRACE_MS = 5000;

/** How long it may take to start. Milliseconds. */
const START_MS = 90_000;

export function startProgram(command: string[], options: ProgramOptions = {}): Program {
  let output = "";
  const child = startOutside(command, { ...options, read: (_, text) => void (output += text ?? "") });
  return { process: child, output: () => output, stop: () => stopTree(child) };
}

/** Resolves when something listens there; rejects with the program's words when it ended instead. */
export async function listens(program: Program, port: number, ms = START_MS): Promise<void> {
  await until(() => stillRuns(program) && accepts(port), ms, `a program listens on port ${port}`);
}

/** The first of its words that match; rejects like `listens`. */
export async function says(program: Program, pattern: RegExp): Promise<string> {
  return until(() => stillRuns(program) && pattern.exec(program.output())?.[0], START_MS, `a program says ${pattern}`);
}

// --- internal ---

function stillRuns({ process: { exitCode }, output }: Program): true {
  if (exitCode !== null) throw new Error(`ended with ${exitCode} at its start: ${output()}`);
  return true;
}

async function stopTree(child: Outside): Promise<void> {
  const children = descendants(child.pid);
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
  await child.exited;
  clearTimeout(timer);
  for (const { pid, started } of children) {
    // The same number may belong to someone else by now.
    if (look(pid)?.started === started) process.kill(pid, "SIGKILL");
  }
}

interface Seen {
  pid: number;
  parent: number;
  started: string;
}

function descendants(root: number): Seen[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => look(Number(name)) ?? []);
  const found: Seen[] = [];
  const parents = new Set([root]);
  for (let before = -1; before !== found.length;) {
    before = found.length;
    for (const one of all) {
      if (!parents.has(one.parent) || parents.has(one.pid)) continue;
      parents.add(one.pid);
      found.push(one);
    }
  }
  return found;
}

/** What proc_pid_stat(5) says: the fields after the program's name, which may hold anything. Zombies are gone already. */
function look(pid: number): Seen | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z") return null;
    return { pid, parent: Number(fields[1]), started: fields[19] ?? "" };
  } catch {
    return null; // ended in between
  }
}
