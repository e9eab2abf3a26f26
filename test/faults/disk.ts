/** A small disk for the database, to be filled to the last byte. A tmpfs, where one may be mounted. */
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Disk {
  path: string;
  /** False where nothing may be mounted: then it is an ordinary folder, and can't be filled. */
  isSmall: boolean;
  fill(): void;
  free(): void;
  /** Unmounts it. */
  stop(): void;
}

/** Holds the database with its journal many times over. */
const SIZE_MB = 24;

export function createDisk(path: string): Disk {
  mkdirSync(path, { recursive: true });
  const isSmall = run(["mount", "-t", "tmpfs", "-o", `size=${SIZE_MB}m`, "tmpfs", path]);
  const filler = join(path, "filler");
  return {
    path,
    isSmall,
    fill() {
      const { bavail, bsize } = statfsSync(path);
      try {
        writeFileSync(filler, new Uint8Array(bavail * bsize + bsize));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    },
    free: () => rmSync(filler, { force: true }),
    stop() {
      // Lazily: a process that was killed a moment ago may still hold a file of it.
      if (isSmall) run(["umount", "--lazy", path]);
    },
  };
}

// --- internal ---

function run(command: string[]): boolean {
  try {
    return Bun.spawnSync(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exitCode === 0;
  } catch {
    return false; // no such program: not a Linux machine
  }
}
