/**
 * The store: what the services ask the database with, and all that they know of it. Its functions (the other files of this
 * folder) take a `Query` when they only read, and a `Tx` when they write; a `Tx` exists only within `transaction`, so
 * nothing is written outside of one. SQLite stands behind it (sqlite.ts).
 *
 * Callers wait, the work itself does not: it is a synchronous function. So nothing of this process falls between what it
 * reads and what it writes, no read sees rows that are not committed, and the write lock is never held while something else
 * has its turn. What else is decided from memory with it (acknowledgements) is asked within the work too.
 */
import type { Recorded } from "./recorded.ts";

declare const asks: unique symbol;
declare const writes: unique symbol;

/** One state of the database, to be asked. */
export interface Query {
  readonly [asks]: true;
}

/** Who has something done. */
export interface Caller {
  /** The platform's id of the request; null when there is none. Never made up. */
  requestId: string | null;
  /** The address that it came from; null when it is not known. */
  peer: string | null;
}

/** The coordinator itself: nobody has called. */
export const ITSELF: Caller = { requestId: null, peer: null };

/** What makes a transaction happen, as its caller knows it. */
export interface Cause extends Caller {
  /** Epoch milliseconds. Asked when the transaction begins, which may be a while after its caller wanted it. */
  now: () => number;
}

/** A transaction under way: what is asked stays true until it commits, and what is written is written as a whole. */
export interface Tx extends Query {
  readonly [writes]: true;
  /** What causes it; `now`: its one time, epoch milliseconds. */
  readonly cause: Caller & { now: number };
  /** What was done to circuits so far, in order. */
  readonly recorded: Recorded[];
  /** The same transaction, for what another request has caused. */
  onBehalfOf(by: Caller): Tx;
}

export interface Store {
  /** Random id of this database: a worker that knew another one fetches everything anew. */
  readonly epoch: string;
  /** Asks one state of the database. `ask` must not wait. */
  read<T>(ask: (q: Query) => T): Promise<T>;
  /**
   * Runs `work`, which must not wait, and commits; what it throws undoes everything and is passed on. One at a time, in the
   * order of the calls, at once when nobody is before it. Rejects with service-unavailable when another process has the
   * database's write lock for too long; nothing was run then.
   */
  transaction<T>(cause: Cause, work: (tx: Tx) => T): Promise<T>;
  /** Why the last transaction could not be written: no room, a lock, a file that is gone. Null when it could. */
  fault(): string | null;
  close(): void;
}
