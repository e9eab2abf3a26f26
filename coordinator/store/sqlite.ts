/** SQLite behind the store: one connection, and one transaction at a time on it. */
import type { Database } from "bun:sqlite";
import { openQuery, openTx, type Db } from "./session.ts";
import type { Cause, Query, Store, Tx } from "./store.ts";

export class SqliteStore implements Store {
  readonly epoch: string;
  /** The connection itself: for tests, which look at what is stored and spoil it. */
  readonly db: Db;
  readonly #sqlite: Database;
  readonly #query: Query;
  readonly #deferred: (work: () => unknown) => unknown;
  readonly #immediate: (work: () => unknown) => unknown;
  #isInside = false;

  constructor(sqlite: Database, db: Db, epoch: string) {
    this.epoch = epoch;
    this.db = db;
    this.#sqlite = sqlite;
    this.#query = openQuery(db);
    const runs = sqlite.transaction((work: () => unknown) => this.#inside(work));
    this.#deferred = runs.deferred;
    this.#immediate = runs.immediate;
  }

  /** As `read`, and now. */
  readNow<T>(ask: (q: Query) => T): T {
    return this.#deferred(() => ask(this.#query)) as T;
  }

  /** As `transaction`, and now. */
  writeNow<T>(cause: Tx["cause"], work: (tx: Tx) => T): T {
    const { tx, close } = openTx(this.db, cause);
    try {
      return this.#immediate(() => work(tx)) as T;
    } finally {
      close();
    }
  }

  // Both are functions that wait for nothing: what they throw is their callers' rejection.
  // oxlint-disable-next-line typescript/require-await
  async read<T>(ask: (q: Query) => T): Promise<T> {
    return this.readNow(ask);
  }

  // oxlint-disable-next-line typescript/require-await
  async transaction<T>(cause: Cause, work: (tx: Tx) => T): Promise<T> {
    return this.writeNow({ requestId: cause.requestId, now: cause.now() }, work);
  }

  /** Leaves everything in the one file, so that a copy of it is a backup. */
  close(): void {
    this.#sqlite.run("PRAGMA wal_checkpoint(TRUNCATE)");
    this.#sqlite.close();
  }

  // --- internal ---

  #inside(work: () => unknown): unknown {
    // It would see, or be undone with, what is not its own.
    if (this.#isInside) throw new Error("Cannot use the store within its own transaction: that is what `tx` is for");
    this.#isInside = true;
    try {
      const done = work();
      if (done instanceof Promise) throw new Error("Cannot wait within a transaction: its work is synchronous");
      return done;
    } finally {
      this.#isInside = false;
    }
  }
}
