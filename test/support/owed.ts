/** Bounds of time that hold on a machine that has nothing else to do, made relative to how much else it has to do. */
import { availableParallelism, loadavg } from "node:os";

/**
 * What a quiet machine does within `ms` milliseconds takes as much longer as processes wait for each of its processors: `ms`
 * where none does.
 */
export function owed(ms: number): number {
  const [waiting = 0] = loadavg();
  return ms * Math.max(1, waiting / availableParallelism());
}
