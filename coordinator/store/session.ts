/** What stands behind a `Query` and a `Tx` with SQLite: the connection. Only the files of this folder ask for it. */
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type * as schema from "./schema.ts";
import type { Caller, Query, Tx } from "./store.ts";

export type Db = BunSQLiteDatabase<typeof schema>;
/** What of the connection writes nothing. */
export type Readable = Pick<Db, "select" | "selectDistinct">;

/** A new `Query`. It is good for as long as the connection. */
export function openQuery(db: Db): Query {
  const query = {} as Query;
  readable.set(query, db);
  return query;
}

/** A new `Tx`; `close` ends it, and all that it gave on behalf of others. */
export function openTx(db: Db, cause: Tx["cause"]): { tx: Tx; close: () => void } {
  const given: Tx[] = [];
  const recorded: Tx["recorded"] = [];
  const make = (of: Tx["cause"]): Tx => {
    const onBehalfOf = ({ requestId, peer }: Caller): Tx => {
      writerOf(fresh);
      return make({ ...of, requestId, peer });
    };
    const fresh = { cause: of, recorded, onBehalfOf } as unknown as Tx;
    readable.set(fresh, db);
    writable.set(fresh, db);
    given.push(fresh);
    return fresh;
  };
  const tx = make(cause);
  return {
    tx,
    close() {
      for (const one of given) {
        readable.delete(one);
        writable.delete(one);
      }
    },
  };
}

/** The connection, to build a question that is asked rarely. Throws when the transaction is over. */
export function readerOf(q: Query): Readable {
  return readable.get(q) ?? refuseOver();
}

/** The connection, to build a statement that is run rarely. Throws when the transaction is over, or there is none. */
export function writerOf(tx: Tx): Db {
  return writable.get(tx) ?? refuseOver();
}

// --- internal ---

const readable = new WeakMap<Query, Db>();
const writable = new WeakMap<Tx, Db>();

function refuseOver(): never {
  throw new Error("Cannot use a transaction after its end, nor write without one");
}
