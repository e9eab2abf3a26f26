/**
 * Opens the SQLite file, applies migrations and refuses a database from a newer version.
 * Called once at start; everything else gets the store handed in.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { migrate } from "drizzle-orm/bun-sqlite/migrator";
import { digestOf } from "../../shared/protocol/digest.ts";
import { isoTime } from "../../shared/values.ts";
import * as schema from "./schema.ts";
import type { Db } from "./session.ts";
import { isLocked, PATIENCE_MS, SqliteStore } from "./sqlite.ts";

const MIGRATIONS = join(import.meta.dir, "../../drizzle");

/**
 * Opens or creates the database at `path`. Throws with the action, the file and what was wanted. `patience`: how long a
 * transaction waits for another process's lock, milliseconds.
 */
export function openDb(path: string, newId: () => string, patience: number = PATIENCE_MS): SqliteStore {
  // Several coordinators may create one database at the same moment; Drizzle's migrator does not wait for a lock.
  for (const end = performance.now() + LOCK_WAIT_MS; ; Bun.sleepSync(20)) {
    try {
      return openOnce(path, newId, patience);
    } catch (error) {
      // Drizzle wraps what SQLite says.
      const fault = error instanceof Error && error.cause instanceof SQLiteError ? error.cause : error;
      if (!(fault instanceof SQLiteError)) throw error;
      // Another process has just done the same step of a migration.
      const isDone = /already exists|no such table|duplicate column/.test(fault.message);
      const passing = isLocked(fault) || isDone;
      if (passing && performance.now() < end) continue;
      throw new Error(`Cannot open the database ${path}: ${fault.message}`, { cause: error });
    }
  }
}

// --- internal ---

/** Nothing is served yet: it is waited for in the thread. Milliseconds. */
const LOCK_WAIT_MS = 5000;

function openOnce(path: string, newId: () => string, patience: number): SqliteStore {
  const isNew = !existsSync(path);
  const sqlite = new Database(path, { create: true, strict: true });
  try {
    // It holds tokens; SQLite's other files take its mode.
    if (isNew) chmodSync(path, 0o600);
    sqlite.run(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`);
    // Before anything is written: what a newer version wrote is left as it was.
    refuseNewer(sqlite, path);
    // WAL: readers never wait. FULL: a commit survives the machine's power loss. 0.2 ms a commit on an SSD.
    sqlite.run("PRAGMA journal_mode = WAL");
    sqlite.run("PRAGMA synchronous = FULL");
    sqlite.run("PRAGMA foreign_keys = ON");
    // The variables of an app that has ended may be secrets; what is written ahead has them until it is begun anew.
    sqlite.run("PRAGMA secure_delete = ON");
    sqlite.run("PRAGMA journal_size_limit = 0");
    const db = drizzle(sqlite, { schema });
    migrate(db, { migrationsFolder: MIGRATIONS });
    renewDigests(db);
    return new SqliteStore(sqlite, db, readEpoch(db, newId), { path, patience });
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

interface Journal {
  entries: { when: number; tag: string }[];
}

function refuseNewer(sqlite: Database, path: string): void {
  const table = sqlite.query("SELECT 1 FROM sqlite_master WHERE name = '__drizzle_migrations'").get();
  if (table === null) return;
  const newest =
    sqlite.query<{ at: number | null }, []>("SELECT max(created_at) AS at FROM __drizzle_migrations").get()?.at ?? 0;
  const journal = JSON.parse(readFileSync(join(MIGRATIONS, "meta/_journal.json"), "utf8")) as Journal;
  const known = Math.max(...journal.entries.map((entry) => entry.when));
  if (newest > known) {
    throw new Error(
      `Cannot use the database ${path}: it was written by a newer version (migration ${newest}, this version knows up to ${known}); ` +
        `wanted that version, or a backup from before the upgrade`,
    );
  }
}

/**
 * Reckons the workers' digests from their circuits: a database of an earlier version has none, and one that was edited by
 * hand has wrong ones. Nothing is written when they are right. 100,000 circuits take 0.1 s.
 */
function renewDigests(db: Db): void {
  const renew = (tx: Pick<Db, "select" | "update">): void => {
    const { id, workerId, revision, updatedAt } = schema.circuits;
    const rows = tx.select({ id, workerId, revision, updatedAt }).from(schema.circuits).all();
    const states = rows.map((row) => ({ ...row, updated_at: isoTime(row.updatedAt) }));
    const circuits = Map.groupBy(states, (one) => one.workerId);
    for (const worker of tx
      .select({ id: schema.workers.id, digest: schema.workers.digest })
      .from(schema.workers)
      .all()) {
      const digest = digestOf(circuits.get(worker.id) ?? []);
      if (digest !== worker.digest)
        tx.update(schema.workers).set({ digest }).where(eq(schema.workers.id, worker.id)).run();
    }
  };
  db.transaction(renew, { behavior: "immediate" });
}

function readEpoch(db: Db, newId: () => string): string {
  db.insert(schema.meta).values({ key: "epoch", value: newId() }).onConflictDoNothing().run();
  const row = db.query.meta.findFirst({ where: (m, { eq }) => eq(m.key, "epoch") }).sync();
  if (row === undefined) throw new Error("Cannot read the database's epoch");
  return row.value;
}
