/** A database of a model test: a real SQLite file where a commit costs no disk, made once and emptied for every run. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { openDb } from "../../coordinator/store/open.ts";
import type { SqliteStore } from "../../coordinator/store/sqlite.ts";

export interface ModelDatabase {
  store: SqliteStore;
  /** Runs `work` and undoes all that it has written. One at a time. */
  trial(work: () => Promise<void> | void): Promise<void>;
  close(): void;
}

export function openModelDatabase(): ModelDatabase {
  // On Linux a directory in memory.
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "app-proxy-model-"));
  const store = openDb(join(directory, "c.sqlite3"), () => crypto.randomUUID());
  return {
    store,
    async trial(work) {
      // The transactions of `work` are savepoints within this one.
      store.db.run(sql`BEGIN IMMEDIATE`);
      try {
        await work();
      } finally {
        store.db.run(sql`ROLLBACK`);
      }
    },
    close() {
      store.close();
      rmSync(directory, { recursive: true });
    },
  };
}
