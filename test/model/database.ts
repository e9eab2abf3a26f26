/** A database of a model test: a real SQLite file where a commit costs no disk, made once and emptied for every run. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { openDb, type OpenDb } from "../../coordinator/store/open.ts";

export interface ModelDatabase extends OpenDb {
  /** Runs `work` and undoes all that it has written. */
  trial(work: () => void): void;
}

export function openModelDatabase(): ModelDatabase {
  // On Linux a directory in memory.
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "app-proxy-model-"));
  const opened = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  return {
    ...opened,
    trial(work) {
      // The transactions of `work` are savepoints within this one.
      opened.db.run(sql`BEGIN IMMEDIATE`);
      try {
        work();
      } finally {
        opened.db.run(sql`ROLLBACK`);
      }
    },
    close() {
      opened.close();
      rmSync(directory, { recursive: true });
    },
  };
}
