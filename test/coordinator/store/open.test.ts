/** The database file: how it is opened, which files are refused, what the schema itself refuses. Real SQLite files. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { migrate } from "drizzle-orm/bun-sqlite/migrator";
import { insertCircuit, removeCircuit, type NewCircuit } from "../../../coordinator/store/circuits.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import { BUSY_TIMEOUT_MS, type SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { upsertWorker } from "../../../coordinator/store/workers.ts";
import { newCircuit, NOW, portRegistration } from "../../support/rows.ts";
import { ROOT } from "../../support/spawned.ts";
import { WORKER } from "../../support/values.ts";
import { write } from "../../support/store.ts";

const newId = () => crypto.randomUUID();

let directory: string;
let path: string;
let opened: SqliteStore[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-db-"));
  path = join(directory, "db.sqlite3");
});

afterEach(() => {
  for (const one of opened.splice(0)) one.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(file = path): SqliteStore {
  const database = openDb(file, newId);
  opened.push(database);
  return database;
}

/** Closes what is open, so that everything is in the one file. */
function close(): void {
  for (const one of opened.splice(0)) one.close();
}

const contents = () =>
  readdirSync(directory)
    .toSorted()
    .map((name) => [name, Bun.hash(readFileSync(join(directory, name)))]);

/** Runs a program in another process, with `openDb`, `sql` and `path` at hand. Gives what it printed. */
async function elsewhere(program: string): Promise<{ printed: string; code: number; error: string }> {
  const code = `
    const { openDb } = await import(${JSON.stringify(join(ROOT, "coordinator/store/open.ts"))});
    const { sql } = await import("drizzle-orm");
    const path = ${JSON.stringify(path)};
    ${program}`;
  const child = Bun.spawn([process.execPath, "-e", code], { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
  const [printed, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { printed: printed.trim(), code: await child.exited, error: /^\w*Error: .*/m.exec(error)?.[0] ?? error };
}

describe("an opened database", () => {
  test("writes ahead, survives a power loss, waits for locks for a moment and keeps references true", () => {
    const { db } = open();
    const pragma = (name: string) => Object.values(db.get<object>(sql.raw(`PRAGMA ${name}`)));
    const names = ["journal_mode", "synchronous", "busy_timeout", "foreign_keys"];
    expect(names.flatMap(pragma)).toEqual(["wal", 2, BUSY_TIMEOUT_MS, 1]);
  });

  test("has every migration, once", () => {
    const migrations = () =>
      open().db.all<{ at: number }>(sql`SELECT created_at AS at FROM __drizzle_migrations ORDER BY created_at`);
    const journal = JSON.parse(readFileSync(join(ROOT, "drizzle/meta/_journal.json"), "utf8")) as {
      entries: { when: number }[];
    };
    const expected = journal.entries.map(({ when }) => ({ at: when }));
    expect(migrations()).toEqual(expected);
    close();
    expect(migrations()).toEqual(expected);
  });

  test("keeps its epoch; another file has another", () => {
    const { epoch } = open();
    expect(epoch).toMatch(/^[0-9a-f-]{36}$/);
    close();
    expect(open().epoch).toBe(epoch);
    expect(open(join(directory, "other.sqlite3")).epoch).not.toBe(epoch);
  });
});

describe("a closed database", () => {
  test("has everything in its one file, as a copy for a backup takes it", () => {
    const { db, epoch } = open();
    db.run(sql`INSERT INTO meta (key, value) VALUES ('last', 'word')`);
    close();
    const copy = join(directory, "copy.sqlite3");
    cpSync(path, copy);
    expect(open(copy).epoch).toBe(epoch);
    expect(open(copy).db.all(sql`SELECT value FROM meta WHERE key = 'last'`)).toEqual([{ value: "word" }]);
  });
});

describe("a file that can't be used", () => {
  const refusal = (file = path): string => {
    try {
      openDb(file, newId).close();
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    return "was opened";
  };

  test.each(["WAL", "DELETE"])("because a newer version wrote it is left as it was: journal_mode %s", (mode) => {
    const other = new Database(path);
    other.run(`PRAGMA journal_mode = ${mode}`);
    other.run("CREATE TABLE __drizzle_migrations (id INTEGER PRIMARY KEY, hash text NOT NULL, created_at numeric)");
    other.run("INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('x', 9999999999999)");
    other.close();
    const before = contents();
    expect(refusal().replace(/\d{13}\)/, "K)")).toBe(
      `Cannot use the database ${path}: it was written by a newer version (migration 9999999999999, this version knows ` +
        `up to K); wanted that version, or a backup from before the upgrade`,
    );
    expect(contents()).toEqual(before);
  });

  test("because its directory is missing is named", () => {
    const file = join(directory, "none/db.sqlite3");
    expect(refusal(file)).toStartWith(`Cannot open the database ${file}: `);
  });

  test("because it is a directory is named", () => {
    expect(refusal(directory)).toStartWith(`Cannot open the database ${directory}: `);
  });

  test("because it is no database is named, and left as it was", () => {
    writeFileSync(path, "This is a letter, not a database.\n".repeat(100));
    const before = contents();
    expect(refusal()).toStartWith(`Cannot open the database ${path}: `);
    expect(contents()).toEqual(before);
  });
});

describe("several connections", () => {
  const note = (by: string, times: number) =>
    `for (let at = 0; at < ${times}; at++) await database.transaction({ requestId: null, now: Date.now }, () => {
      const [{ count }] = database.db.all(sql\`SELECT count(*) AS count FROM meta\`);
      database.db.run(sql\`INSERT INTO meta (key, value) VALUES (\${"${by}-" + at}, \${count})\`);
    });`;

  test("that write at once wait for each other, and each sees what the other wrote", async () => {
    const { db } = open();
    const writers = ["a", "b", "c"].map((by) =>
      elsewhere(`const database = openDb(path, () => "x"); ${note(by, 200)} database.close();`),
    );
    expect((await Promise.all(writers)).map(({ code, error }) => [code, error])).toEqual(writers.map(() => [0, ""]));
    const counts = db.all<{ value: string }>(sql`SELECT value FROM meta WHERE key <> 'epoch'`);
    expect(counts.map(({ value }) => Number(value)).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 600 }, (_, at) => at + 1),
    );
  });

  test("that open a new file at once all get it, with one epoch", async () => {
    const start = Date.now() + 500;
    const opening = Array.from({ length: 4 }, () =>
      elsewhere(`while (Date.now() < ${start}); console.log(openDb(path, () => crypto.randomUUID()).epoch);`),
    );
    const all = await Promise.all(opening);
    expect(all.map(({ code, error }) => [code, error])).toEqual(all.map(() => [0, ""]));
    expect(new Set(all.map(({ printed }) => printed))).toEqual(new Set([open().epoch]));
  });
});

describe("a database of the first version", () => {
  /** With a worker of the original and one of this project. */
  function makeOld(): void {
    const folder = join(directory, "migrations");
    cpSync(join(ROOT, "drizzle"), folder, { recursive: true });
    const journal = join(folder, "meta/_journal.json");
    const { entries, ...rest } = JSON.parse(readFileSync(journal, "utf8")) as { entries: unknown[] };
    writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, 1) }));
    const sqlite = new Database(path, { create: true, strict: true });
    migrate(drizzle(sqlite), { migrationsFolder: folder });
    const insert = (table: string, row: Record<string, unknown>) => {
      const keys = Object.keys(row);
      const values = keys.map((key) => `$${key}`).join(", ");
      sqlite.query(`INSERT INTO ${table} (${keys.join(", ")}) VALUES (${values})`).run(row as Record<string, string>);
    };
    const columns = (table: string) =>
      sqlite.query<{ name: string; type: string; notnull: number }, []>(`PRAGMA table_info(${table})`).all();
    /** What must not be null has anything. */
    const filled = (table: string, row: Record<string, unknown>) => ({
      ...Object.fromEntries(columns(table).filter((one) => one.notnull).map(({ name, type }) => [name, type === "text" ? "[]" : 0])),
      ...row,
    }); // prettier-ignore
    for (const [id, node] of [
      ["old", "(unnamed)"],
      ["new", "n1"],
    ]) {
      insert("workers", filled("workers", { id, authority: id }));
      insert("nodes", filled("nodes", { worker_id: id, node_id: node }));
    }
    sqlite.close();
  }

  test("is brought up to date, and its workers of the original are known as such", () => {
    makeOld();
    expect(open().db.all(sql`SELECT id, is_original AS original FROM workers ORDER BY id`)).toEqual([
      { id: "new", original: 0 },
      { id: "old", original: 1 },
    ]);
  });

  test("is so for each of several coordinators that start at once", async () => {
    for (let round = 0; round < 3; round++) {
      rmSync(path, { force: true });
      makeOld();
      const start = Date.now() + 500;
      const all = await Promise.all(
        Array.from({ length: 4 }, () =>
          elsewhere(`while (Date.now() < ${start}); console.log(openDb(path, () => crypto.randomUUID()).epoch);`),
        ),
      );
      expect(all.map(({ code, error }) => [code, error])).toEqual(all.map(() => [0, ""]));
      const { db, epoch } = open();
      expect(new Set(all.map(({ printed }) => printed))).toEqual(new Set([epoch]));
      expect(db.all(sql`SELECT sum(is_original) AS original FROM workers`)).toEqual([{ original: 1 }]);
      close();
      rmSync(join(directory, "migrations"), { recursive: true });
    }
  });
});

describe("the schema", () => {
  let store: SqliteStore;

  beforeEach(() => {
    store = open();
    for (const [authority, id] of [["w1", WORKER], ["w2", "w2"]] as const) write(store, (tx) => upsertWorker(tx, portRegistration(authority), id, NOW)); // prettier-ignore
  });

  const insert = (over: Partial<NewCircuit>) => write(store, (tx) => insertCircuit(tx, newCircuit(over)));
  const counts = () =>
    store.db.all(sql`SELECT (SELECT count(*) FROM circuits) AS circuits, (SELECT count(*) FROM changes) AS changes,
      (SELECT count(*) FROM free_ports) AS free, (SELECT sum(revision) FROM workers) AS revision`);

  test.each([
    ["port", { port: 10_205 }, "UNIQUE constraint failed: circuits.worker_id, circuits.port"],
    ["subdomain", { subdomain: "lab" }, "UNIQUE constraint failed: circuits.worker_id, circuits.subdomain"],
  ])("refuses a second circuit on a worker's %s, and then nothing of it is written", (_what, slot, message) => {
    insert(slot);
    const before = counts();
    expect(() => insert(slot)).toThrow(message);
    expect(counts()).toEqual(before);
    insert({ ...slot, workerId: "w2" });
    expect(counts()).toMatchObject([{ circuits: 2, changes: 2, revision: 2 }]);
  });

  test("what was deleted is not in the file any more", () => {
    const secret = "the-api-key-of-an-app";
    const rows = Array.from({ length: 40 }, (_, at) =>
      insert({ port: 10_205 + at, envs: { API_KEY: `${secret}-${at}` } }),
    );
    close();
    expect(readFileSync(path, "latin1")).toContain(secret);
    store = open();
    write(store, (tx) => rows.forEach((row) => removeCircuit(tx, row, "deleted")));
    // As when they are published.
    store.db.run(sql`DELETE FROM changes`);
    close();
    expect(readFileSync(path, "latin1")).not.toContain("the-api");
  });

  test("lets any number of circuits be without a port and without a subdomain", () => {
    for (const subdomain of ["a", "b"]) insert({ subdomain });
    for (const port of [10_205, 10_206]) insert({ port });
    expect(counts()).toMatchObject([{ circuits: 4 }]);
  });

  test("keeps a worker that has circuits, and knows no circuit without a worker", () => {
    insert({ port: 10_205 });
    const foreign: unknown = expect.objectContaining({ message: "FOREIGN KEY constraint failed" });
    for (const change of [sql`DELETE FROM workers`, sql`UPDATE circuits SET worker_id = 'none'`])
      expect(() => store.db.run(change)).toThrow(expect.objectContaining({ cause: foreign }));
  });
});

describe("the migrations", () => {
  /** What `bun run migrations` would add in a copy of the project. */
  function generated(change: (schema: string) => string): string[] {
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
    cpSync(join(ROOT, "drizzle"), join(directory, "drizzle"), { recursive: true });
    cpSync(join(ROOT, "drizzle.config.ts"), join(directory, "drizzle.config.ts"));
    mkdirSync(join(directory, "coordinator/store"), { recursive: true });
    const schema = readFileSync(join(ROOT, "coordinator/store/schema.ts"), "utf8");
    writeFileSync(join(directory, "coordinator/store/schema.ts"), change(schema));
    const before = readdirSync(join(directory, "drizzle"));
    const tool = join(directory, "node_modules/drizzle-kit/bin.cjs");
    const ended = Bun.spawnSync([process.execPath, tool, "generate", "--name", "missing"], { cwd: directory });
    expect([ended.exitCode, ended.stderr.toString()]).toEqual([0, ""]);
    return readdirSync(join(directory, "drizzle")).filter((name) => !before.includes(name));
  }

  test("are those of the schema", () => {
    expect(generated((schema) => schema)).toEqual([]);
  });

  test("would not be those of a changed schema: this suite would tell", () => {
    const column = 'appMode: text("app_mode")';
    const added = generated((schema) => schema.replace(column, `more: text("more"), ${column}`));
    expect(added).toEqual([expect.stringMatching(/^\d{4}_missing\.sql$/)]);
  });
});
