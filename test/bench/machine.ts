/**
 * Says on what machine figures were taken: without processor, memory, kernel and disk no figure can be compared
 * with another. The disk is timed where the coordinator's database lies, because every commit waits for it.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { cpus, loadavg, release, tmpdir, totalmem, type as systemName } from "node:os";
import { join } from "node:path";
import { sumUp, type Figure } from "./measure.ts";

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  bun: string;
  /** Of the minute before: other work on the machine makes every figure worse. */
  loadBefore: number;
  /** File system under the database. */
  fileSystem: string;
  /** False when a sync returns faster than any disk can: then commits cost less here than in production. */
  diskSyncs: boolean;
  sync: Figure;
}

/** Below this a sync has reached no storage (tmpfs, `nobarrier`, libeatmydata). */
const NO_DISK_MS = 0.01;
const SYNCS = 200;
/** A page of SQLite with its WAL header. */
const BLOCK = 4096 + 24;

export function describeMachine(): Machine {
  const sync = timeSyncs();
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${systemName()} ${release()}`,
    bun: Bun.version,
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    fileSystem: fileSystemOf(tmpdir()),
    diskSyncs: sync.p50 >= NO_DISK_MS,
    sync,
  };
}

export function machineText(machine: Machine): string {
  const { cpu, cores, memoryGiB, kernel, bun, loadBefore, fileSystem, diskSyncs, sync } = machine;
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, Bun ${bun}, load ${loadBefore} before the run`,
    `database on ${fileSystem} in ${tmpdir()}, which ${diskSyncs ? "syncs" : "DOES NOT SYNC"}: fdatasync of 4 KiB takes ${sync.p50.toFixed(2)} ms (p50)`,
  ].join("\n");
}

/** What every commit waits for. */
export function timeSyncs(): Figure {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-bench-"));
  const file = openSync(join(directory, "sync"), "w");
  const times: number[] = [];
  for (let turn = 0; turn < SYNCS; turn++) {
    const began = performance.now();
    writeSync(file, new Uint8Array(BLOCK));
    fdatasyncSync(file);
    times.push(performance.now() - began);
  }
  closeSync(file);
  rmSync(directory, { recursive: true });
  const elapsed = times.reduce((sum, time) => sum + time, 0);
  return sumUp("peer: write 4 KiB + fdatasync", 1, times, elapsed);
}

// --- internal ---

/** The type of the mount with the longest matching path. */
function fileSystemOf(path: string): string {
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, at = ""]) => at !== "" && `${path}/`.startsWith(at.endsWith("/") ? at : `${at}/`))
    .toSorted((a, b) => (b[1]?.length ?? 0) - (a[1]?.length ?? 0));
  return mounts[0]?.[2] ?? "unknown";
}
