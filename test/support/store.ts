/** A test's way to a store: at once, without waiting, as nobody else is there. */
import type { SqliteStore } from "../../coordinator/store/sqlite.ts";
import type { Query, Tx } from "../../coordinator/store/store.ts";
import { NOW } from "./rows.ts";

export function read<T>(store: Pick<SqliteStore, "readNow">, ask: (q: Query) => T): T {
  return store.readNow(ask);
}

/** `cause`: nobody's request at NOW where it does not say otherwise. */
export function write<T>(
  store: Pick<SqliteStore, "writeNow">,
  work: (tx: Tx) => T,
  cause: Partial<Tx["cause"]> = {},
): T {
  return store.writeNow({ requestId: null, peer: null, now: NOW, ...cause }, work);
}
