/**
 * SQLite behind the store: one connection, and a queue before it. A transaction runs at once when nobody waits; while another
 * process has the write lock it waits in the queue, not in the thread: everything else goes on meanwhile.
 */
import { SQLiteError, type Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import { Failure } from "../../shared/failure.ts";
import { DatabaseFile, MissingFile } from "./database-file.ts";
import { openQuery, openTx, type Db } from "./session.ts";
import type { Cause, Query, Store, Tx } from "./store.ts";

/** Another process's commit takes about a millisecond: for that it is waited in the thread. Milliseconds. */
export const BUSY_TIMEOUT_MS = 20;
/** So long a transaction waits for a lock that another process keeps. Milliseconds. */
export const PATIENCE_MS = 5000;
/** Between two tries. Milliseconds. */
const RETRY_MS = 10;
/** More are refused at once. */
const MAX_WAITING = 10_000;

interface Waiting {
  /** Runs the transaction; false when another process has the lock. */
  attempt: () => boolean;
  reject: (fault: Error) => void;
  /** performance.now() milliseconds. */
  until: number;
}

export class SqliteStore implements Store {
  readonly epoch: string;
  /** The connection itself: for tests, which look at what is stored and spoil it. */
  readonly db: Db;
  readonly #sqlite: Database;
  readonly #patience: number;
  readonly #query: Query;
  readonly #deferred: (work: () => unknown) => unknown;
  readonly #immediate: (work: () => unknown) => unknown;
  readonly #waiting: Waiting[] = [];
  readonly #file: DatabaseFile;
  #fault: string | null = null;
  #isDraining = false;
  #isInside = false;
  #isClosed = false;

  constructor(sqlite: Database, db: Db, epoch: string, { path, patience }: { path: string; patience: number }) {
    this.#file = new DatabaseFile(path);
    this.epoch = epoch;
    this.db = db;
    this.#sqlite = sqlite;
    this.#patience = patience;
    this.#query = openQuery(db);
    const runs = sqlite.transaction((work: () => unknown) => this.#inside(work));
    this.#deferred = runs.deferred;
    this.#immediate = runs.immediate;
    sqlite.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  }

  /** As `read`, and now. Throws what SQLite says when it is locked. */
  readNow<T>(ask: (q: Query) => T): T {
    return this.#deferred(() => ask(this.#query)) as T;
  }

  /** As `transaction`, and now. Throws what SQLite says when it is locked. */
  writeNow<T>(cause: Tx["cause"], work: (tx: Tx) => T): T {
    const { tx, close } = openTx(this.db, cause);
    try {
      return this.#immediate(() => work(tx)) as T;
    } finally {
      close();
    }
  }

  async read<T>(ask: (q: Query) => T): Promise<T> {
    // Readers wait for no writer: only while another process opens or closes the file, or mends it after a crash.
    for (const end = performance.now() + this.#patience; ; await Bun.sleep(RETRY_MS)) {
      try {
        return this.readNow(ask);
      } catch (error) {
        if (!isLocked(error)) throw error;
        if (performance.now() > end) throw locked(error);
      }
    }
  }

  transaction<T>(cause: Cause, work: (tx: Tx) => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const attempt = (): boolean => {
      let hasBegun = false;
      try {
        const stamped = { requestId: cause.requestId, peer: cause.peer, now: cause.now() };
        const begun = (tx: Tx): T => {
          hasBegun = true;
          return work(tx);
        };
        this.#file.assertInPlace();
        resolve(this.writeNow(stamped, begun));
        this.#fault = null;
      } catch (error) {
        if (!hasBegun && isLocked(error)) return false;
        this.#fault = faultOf(error) ?? this.#fault;
        reject(error);
      }
      return true;
    };
    if (this.#waiting.length === 0 && attempt()) return promise;
    if (this.#waiting.length >= MAX_WAITING) reject(locked());
    else this.#waiting.push({ attempt, reject, until: performance.now() + this.#patience });
    if (!this.#isDraining) void this.#drain();
    return promise;
  }

  fault(): string | null {
    return this.#fault;
  }

  /** Leaves everything in the one file, so that a copy of it is a backup. Who still waits is refused. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error("The database was closed"));
    this.#sqlite.run("PRAGMA wal_checkpoint(TRUNCATE)");
    this.#sqlite.close();
  }

  // --- internal ---

  /** Runs what waits, in order, as soon as the lock is free. Never rejects: each transaction's fault is its caller's. */
  async #drain(): Promise<void> {
    this.#isDraining = true;
    // What is tried again and again must not take the others' time.
    this.#sqlite.run("PRAGMA busy_timeout = 0");
    await Bun.sleep(RETRY_MS);
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const isDone = first.attempt();
      if (isDone) this.#waiting.shift();
      else this.#giveUp();
      // What follows a commit (waits begin, events go out) comes before the next one, as without a lock.
      await (isDone ? setImmediate() : Bun.sleep(RETRY_MS));
    }
    this.#isDraining = false;
    if (!this.#isClosed) this.#sqlite.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  }

  /** Refuses those that have waited for too long. */
  #giveUp(): void {
    const now = performance.now();
    const fresh = this.#waiting.findIndex(({ until }) => until > now);
    const over = this.#waiting.splice(0, fresh === -1 ? this.#waiting.length : fresh);
    if (over.length > 0) this.#fault = LOCKED;
    for (const { reject } of over) reject(locked());
  }

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

/** Whether SQLite says that another process has what it needs. */
export function isLocked(error: unknown): boolean {
  // Drizzle wraps what SQLite says.
  const fault = error instanceof Error && error.cause instanceof SQLiteError ? error.cause : error;
  return fault instanceof SQLiteError && fault.code?.startsWith("SQLITE_BUSY") === true;
}

// --- internal ---

const LOCKED = "The database is locked by another process; try again";

function locked(cause?: unknown): Failure {
  return new Failure("service-unavailable", cause === undefined ? LOCKED : { msg: LOCKED, cause });
}

/** What keeps anything from being written; null for what is wrong with one transaction alone. */
function faultOf(error: unknown): string | null {
  if (error instanceof MissingFile) return error.message;
  const fault = error instanceof Error && error.cause instanceof SQLiteError ? error.cause : error;
  if (!(fault instanceof SQLiteError) || fault.code?.startsWith("SQLITE_CONSTRAINT") === true) return null;
  return fault.message;
}
