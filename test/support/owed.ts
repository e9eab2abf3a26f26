/** Bounds of time that hold on a machine that has nothing else to do, made relative to how much else it has to do. */
import { readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";

/**
 * What a quiet machine does within `ms` milliseconds takes as much longer as processes wait for each of its processors: `ms`
 * where none does. The load is a mean of the last minute; what has just begun is among those that run now.
 */
export function owed(ms: number): number {
  const [waiting = 0] = loadavg();
  return ms * Math.max(1, Math.max(waiting, running()) / availableParallelism());
}

// --- internal ---

/** Linux tells (proc(5)). */
function running(): number {
  try {
    return Number(readFileSync("/proc/loadavg", "latin1").split(" ")[3]?.split("/")[0]);
  } catch {
    return 0;
  }
}
