/** Carries changes of the circuits out, and tells what came of them: acknowledged, or refused. Called by replica.ts. */
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { Table } from "../../circuits/table.ts";
import type { Frontends } from "../../listeners/frontends.ts";
import type { Acknowledger } from "./acknowledge.ts";
import { createServed } from "./apply.ts";
import type { Change } from "./state.ts";

/** Returns what carries a change out: it resolves with whether the change told of a circuit that is not known. */
export function createChanger(
  { table, frontends }: { table: Table; frontends: Frontends },
  acknowledger: Acknowledger,
): (change: Change) => Promise<boolean> {
  const served = createServed(table, frontends);

  async function add(circuits: readonly Circuit[], requestId: string | null): Promise<void> {
    acknowledger.send(await served.add(circuits), requestId);
    acknowledger.refuse(circuits, requestId);
  }

  function again(circuits: readonly Circuit[], requestId: string | null): boolean {
    const mine = circuits.map(({ id }) => table.byId(id)?.circuit).filter((circuit) => circuit !== undefined);
    acknowledger.send(
      mine.filter((circuit) => frontends.serves(circuit)),
      requestId,
    );
    acknowledger.refuse(mine, requestId);
    return mine.length < circuits.length;
  }

  return async (change: Change): Promise<boolean> => {
    switch (change.kind) {
      case "add":
        await add(change.circuits, change.requestId);
        return false;
      case "drop":
        await served.drop(change.ids);
        return false;
      case "replace": {
        const wanted = new Set(change.circuits.map(({ id }) => id));
        await served.drop(table.ids().filter((id) => !wanted.has(id)));
        await add(change.afresh ? change.circuits : change.circuits.filter(served.isNews), null);
        return false;
      }
      case "change":
        await served.drop(change.removed);
        await add(change.circuits.filter(served.isNews), null);
        return false;
      case "again":
        return again(change.circuits, change.requestId);
    }
  };
}
