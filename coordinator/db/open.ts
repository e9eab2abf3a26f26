/**
 * Opens the SQLite file, applies migrations and refuses a database from a newer version.
 * Called once at start; everything else gets the `Db` handed in.
 */
import { Database } from "bun:sqlite";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { drizzle, type BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { migrate } from "drizzle-orm/bun-sqlite/migrator";
import { reason } from "../../shared/failure.ts";
import * as schema from "./schema.ts";

export type Db = BunSQLiteDatabase<typeof schema>;

export interface OpenDb {
  db: Db;
  /** Random id of this database: a worker that knew another one fetches everything anew. */
  epoch: string;
  close(): void;
}

const MIGRATIONS = join(import.meta.dir, "../../drizzle");

/** Opens or creates the database at `path`. Throws with the action, the file and what was wanted. */
export function openDb(path: string, newId: () => string): OpenDb {
  const sqlite = open(path);
  try {
    // WAL: readers never wait. FULL: a commit survives the machine's power loss. 0.15 ms a commit on an SSD.
    sqlite.run("PRAGMA journal_mode = WAL");
    sqlite.run("PRAGMA synchronous = FULL");
    sqlite.run("PRAGMA busy_timeout = 5000");
    sqlite.run("PRAGMA foreign_keys = ON");
    refuseNewer(sqlite, path);
    const db = drizzle(sqlite, { schema });
    migrate(db, { migrationsFolder: MIGRATIONS });
    return { db, epoch: readEpoch(db, newId), close: () => sqlite.close() };
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/** Runs `work` in a transaction that holds the write lock from its start: what it reads stays true until it commits. */
export function write<T>(db: Db, work: (tx: Db) => T): T {
  // There is one connection and nothing in `work` waits, so whatever runs on `db` meanwhile is in the transaction;
  // Drizzle's own transaction object would hide the statements that are prepared on `db`.
  return db.transaction(() => work(db), { behavior: "immediate" });
}

// --- internal ---

function open(path: string): Database {
  try {
    const isNew = !existsSync(path);
    const database = new Database(path, { create: true, strict: true });
    // It holds tokens; SQLite's other files take its mode.
    if (isNew) chmodSync(path, 0o600);
    return database;
  } catch (error) {
    throw new Error(`Cannot open the database ${path}: ${reason(error)}`, { cause: error });
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

function readEpoch(db: Db, newId: () => string): string {
  db.insert(schema.meta).values({ key: "epoch", value: newId() }).onConflictDoNothing().run();
  const row = db.query.meta.findFirst({ where: (m, { eq }) => eq(m.key, "epoch") }).sync();
  if (row === undefined) throw new Error("Cannot read the database's epoch");
  return row.value;
}
