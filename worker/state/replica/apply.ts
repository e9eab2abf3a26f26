/** Circuits come and go: the table and the listeners together. Called by changes.ts, one change after the other. */
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { Frontends } from "../../listeners/frontends.ts";
import type { Table } from "../../circuits/table.ts";

export interface Served {
  /** Takes new circuits and new states of known ones; gives those that can be reached then. */
  add(circuits: readonly Circuit[]): Promise<Circuit[]>;
  /** Lets circuits go, by id. */
  drop(ids: readonly string[]): Promise<void>;
  /** False when exactly this state of the circuit is served already. */
  isNews: (circuit: Circuit) => boolean;
}

export function createServed(table: Table, frontends: Frontends): Served {
  async function addOne(circuit: Circuit): Promise<boolean> {
    const before = table.byId(circuit.id)?.circuit;
    const replaced = table.put(circuit);
    if (replaced !== null) await frontends.close(replaced);
    if (before !== undefined && before.port !== circuit.port) await frontends.close(before);
    return frontends.open(circuit);
  }

  async function dropOne(id: string): Promise<void> {
    const removed = table.remove(id);
    if (removed !== null) await frontends.close(removed);
  }

  return {
    async add(circuits) {
      const reached = await Promise.all(circuits.map(addOne));
      return circuits.filter((_, at) => reached[at]);
    },
    async drop(ids) {
      await Promise.all(ids.map(dropOne));
    },
    isNews(circuit) {
      const mine = table.byId(circuit.id)?.circuit;
      if (mine?.revision === undefined || mine.revision !== circuit.revision) return true;
      // The same number may mean another state when the database was put back from a backup.
      if (mine.updated_at !== circuit.updated_at) return true;
      return !frontends.serves(mine);
    },
  };
}
