/** A circuit of which another node may have heard first. */
import type { Entry, Table } from "./table.ts";

/** Where circuits are known, and whoever fetches those that are not yet: all who wait share one fetch a second. */
export interface Fetching {
  table: Table;
  /** Rejects while the coordinator is away. */
  refresh: () => Promise<void>;
}

/** The circuit, by id; undefined where there is none even after a fetch. */
export async function knownOrFetched(id: string, { table, refresh }: Fetching): Promise<Entry | undefined> {
  const known = table.byId(id);
  if (known !== undefined) return known;
  await refresh();
  return table.byId(id);
}
