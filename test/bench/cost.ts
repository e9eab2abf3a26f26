/** What a process has cost so far: processor time and memory, read from /proc. */
import { readFileSync, writeFileSync } from "node:fs";

export interface Cost {
  /** Processor seconds of all its threads, user and system. */
  cpu: number;
  /** The kernel's part of it. */
  system: number;
  /** Bytes now, and at most since `resetPeak`. */
  rss: number;
  peak: number;
}

/** The kernel's unit in /proc/PID/stat; 100 on every Linux that Debian builds. */
const TICKS_PER_SECOND = 100;

export function costOf(pid: number): Cost {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name before may contain spaces and parentheses; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    system: Number(fields[12]) / TICKS_PER_SECOND,
    cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    rss: bytes(status, "VmRSS"),
    peak: bytes(status, "VmHWM"),
  };
}

/** Seconds that a core has worked, whoever for. */
export function workedSeconds(core: string): number {
  const line = new RegExp(`^cpu${core} (.*)$`, "m").exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = line.split(" ").map(Number);
  return (user + nice + system + irq + softIrq) / TICKS_PER_SECOND;
}

/** Lets `peak` start anew from what is used now. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

// --- internal ---

function bytes(status: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) * 1024;
}
