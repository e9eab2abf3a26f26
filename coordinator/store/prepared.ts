/**
 * Statements of the hot path, built and prepared once a database: building a statement's text costs Drizzle more than
 * SQLite needs to run it (creation: 1.5 ms of CPU unprepared, 0.8 ms prepared).
 */
import { getTableColumns, Placeholder } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { readerOf, writerOf, type Db, type Readable } from "./session.ts";
import type { Query, Tx } from "./store.ts";

/** A question that is made at its first use with a database. */
export function prepared<Statement>(make: (db: Readable) => Statement): (q: Query) => Statement {
  const remembered = onceEach(make);
  return (q) => remembered(readerOf(q));
}

/** A statement that writes, made at its first use with a database. */
export function preparedWrite<Statement>(make: (db: Db) => Statement): (tx: Tx) => Statement {
  const remembered = onceEach(make);
  return (tx) => remembered(writerOf(tx));
}

type Placeholders<Table extends SQLiteTable> = { [Column in keyof Table["_"]["columns"]]: Placeholder };

/** A placeholder for each column, so that a whole row can be given to a prepared insert. */
export function rowOf<Table extends SQLiteTable>(table: Table): Placeholders<Table> {
  const names = Object.keys(getTableColumns(table));
  return Object.fromEntries(names.map((name) => [name, new Placeholder(name)])) as Placeholders<Table>;
}

// --- internal ---

function onceEach<Key extends object, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new WeakMap<Key, Value>();
  return (key) => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const fresh = make(key);
    made.set(key, fresh);
    return fresh;
  };
}
