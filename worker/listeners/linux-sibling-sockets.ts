/** Which listeners are of the other process of this worker, as Linux tells it in /proc. Called by sibling.ts. */
import { readdirSync } from "node:fs";
import type { Side } from "./types.ts";
import { listenersAt, socketsOf } from "./linux-sockets.ts";

/** Other processes that have one of these sockets open. */
export function holders(inodes: readonly number[]): number[] {
  return processes().filter((pid) => {
    const open = socketsOf(pid);
    return inodes.some((inode) => open.has(inode));
  });
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
