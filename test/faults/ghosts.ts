/** People who come back with the permit of a circuit that was gone before the fault: nobody may ever be let in by it. */
import type { Node } from "./cluster.ts";
import type { Ghost, Stage } from "./stage.ts";
import { placeOf, visit } from "./visits.ts";

/** Comes to a node. What is public by now at that slot may answer, as it does to everybody. */
export async function haunt({ cluster, apps, timeline }: Stage, ghost: Ghost, node: Node): Promise<void> {
  if (ghost.cookie === "") return;
  const answer = await visit(placeOf(cluster, node, ghost.slot), { Cookie: ghost.cookie });
  if (answer.is !== "answered") return;
  const { tenant } = answer.by;
  if (apps.some((app) => app.isPublic && app.sessionId === tenant)) return;
  timeline.broken(`${ghost.what} is gone, and ${node.machine.name} has ${JSON.stringify(answer.by)} answer for it`);
}
