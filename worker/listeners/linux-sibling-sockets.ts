/** Which listeners are of other processes of this worker, as Linux tells it in /proc. Called by sibling.ts and lanes.ts. */
import { readdirSync, readFileSync } from "node:fs";
import type { Side } from "./types.ts";
import { listenersAt, socketsOf } from "./linux-sockets.ts";

/** Other processes that have one of these sockets open. */
export function holders(inodes: readonly number[]): number[] {
  return processes().filter((pid) => {
    const open = socketsOf(pid);
    return inodes.some((inode) => open.has(inode));
  });
}

/** Other processes that were started by the process that started this one. */
export function brothers(): number[] {
  return processes().filter((pid) => parentOf(pid) === process.ppid);
}

/** An environment variable that a process was started with; null when it has none, or may not be looked into. */
export function variableOf(pid: number, name: string): string | null {
  const all = readOrNull(`/proc/${pid}/environ`)?.split("\0") ?? [];
  return all.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}

/**
 * When a process was started, in the kernel's ticks: its id may be another's later. Null when it has ended, also while
 * nobody has asked for its exit code.
 */
export function bornAt(pid: number): string | null {
  const fields = statOf(pid);
  return fields === null || fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
}

/** The sockets of the process that listened at the API address before this one, and of the one that does since. */
export class SiblingSockets {
  readonly #host: string;
  readonly #port: number;
  #predecessor: number | null;
  /** Kept for a turn of the event loop: a successor opens all circuits' ports in one. */
  #sockets: { old: ReadonlySet<number>; successor: ReadonlySet<number>; foreign: Set<number> } | null = null;
  /** Going through all processes takes long: it is done anew when other sockets listen at the API address. */
  #api: { inodes: string; successors: readonly number[] } | null = null;

  constructor(host: string, port: number, predecessor: number | null) {
    this.#host = host;
    this.#port = port;
    this.#predecessor = predecessor;
  }

  sideOf(inode: number): Side {
    const side = this.#knownSide(inode);
    if (side !== null) return side;
    // It may be younger than what was read; once a turn for one that stays foreign.
    this.#read();
    const now = this.#knownSide(inode);
    if (now === null) this.#sockets?.foreign.add(inode);
    return now ?? "foreign";
  }

  /** Its process id may be another's from now on. */
  oldHasEnded(): void {
    this.#predecessor = null;
    this.#api = null;
  }

  hasSuccessor(): boolean {
    return this.#successors().length > 0;
  }

  // --- internal ---

  #knownSide(inode: number): Side | null {
    const { old, successor, foreign } = this.#sockets ?? this.#read();
    if (old.has(inode)) return "old";
    if (successor.has(inode)) return "successor";
    return foreign.has(inode) ? "foreign" : null;
  }

  #read() {
    if (this.#sockets === null) setImmediate(() => (this.#sockets = null));
    return (this.#sockets = {
      old: this.#predecessor === null ? new Set<number>() : socketsOf(this.#predecessor),
      successor: new Set(this.#successors().flatMap((pid) => [...socketsOf(pid)])),
      foreign: this.#sockets?.foreign ?? new Set<number>(),
    });
  }

  #successors(): readonly number[] {
    const there = listenersAt(this.#host, this.#port);
    const inodes = there.join();
    if (this.#api?.inodes !== inodes)
      this.#api = { inodes, successors: holders(there).filter((pid) => pid !== this.#predecessor) };
    return this.#api.successors;
  }
}

// --- internal ---

function processes(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid);
}

function parentOf(pid: number): number {
  return Number(statOf(pid)?.[1] ?? 0);
}

/** What stands behind its name: the state, the parent, …; null when it is gone. */
function statOf(pid: number): string[] | null {
  // pid (name) state …: the name may have spaces and brackets.
  return (
    readOrNull(`/proc/${pid}/stat`)
      ?.replace(/^.*\) /s, "")
      .split(" ") ?? null
  );
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null; // gone, or another user's
  }
}
