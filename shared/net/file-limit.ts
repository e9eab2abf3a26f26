/**
 * How many files this process may have open at once (RLIMIT_NOFILE), how many of them are for connections, and how many are
 * kept back for the worker's own needs: without one, nothing works that has to open something, and a listener that can't
 * accept spins. Bun raises the soft limit to the hard one by itself.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";

/**
 * Redis and the coordinator (with connections that are being replaced), epoll, log, libraries, the snapshot's file, looks at
 * kernels, people at the worker's own API, and clients that are told that there is no room: 25 without any of them.
 */
const OWN = 160;
/** Where the system tells no limit. */
const UNTOLD = 10_240;

/** How a process's files are shared out. */
export interface FileShare {
  /** All that it may have open. */
  limit: number;
  forConnections: number;
  keptBack: number;
}

/** The limit of this process; null where the system does not tell, or has none. */
export function fileLimit(read: () => string = () => readFileSync("/proc/self/limits", "latin1")): number | null {
  try {
    const limit = Number(/^Max open files +(\d+)/m.exec(read())?.[1]);
    return limit > 0 ? limit : null;
  } catch {
    return null; // not Linux
  }
}

/** `listeners`: how many a worker opens at most. Pure. */
export function shareOut(limit: number | null, listeners: number): FileShare {
  const all = limit ?? UNTOLD;
  // A range of thousands of ports is seldom used up, and a limit may be small.
  const keptBack = Math.min(OWN + Math.min(listeners, Math.floor(all / 4)), Math.floor(all / 2));
  return { limit: all, forConnections: all - keptBack, keptBack };
}

/** How many files are open; null where that is not known. */
export function openFiles(): number | null {
  try {
    // Since Linux 6.2 the size of this folder is their number.
    return statSync("/proc/self/fd").size || readdirSync("/proc/self/fd").length;
  } catch {
    return null; // not Linux
  }
}
