/** People who come back with the permit of a circuit that was gone before the fault: nobody may ever be let in by it. */
import type { Node } from "./cluster.ts";
import { healthOf } from "./convergence.ts";
import type { Ghost, Stage } from "./stage.ts";
import { placeOf, visit } from "./visits.ts";

/** Comes to a node. What is public by now at that slot may answer, as it does to everybody. */
export async function haunt({ cluster, apps, timeline }: Stage, ghost: Ghost, node: Node): Promise<void> {
  if (ghost.cookie === "") return;
  const before = await healthOf(node);
  const answer = await visit(placeOf(cluster, node, ghost.slot), { Cookie: ghost.cookie });
  if (answer.is !== "answered") return;
  const { tenant } = answer.by;
  // The kernel of one whose session has ended says that it is nobody's.
  if (apps.some((app) => app.isPublic && (tenant === null ? app.isOver : app.sessionId === tenant))) return;
  const what = `${ghost.what} is gone, and ${node.machine.name} has ${JSON.stringify(answer.by)} answer for it`;
  const hasHeard = before !== null && (before.revision ?? 0) >= ghost.revision;
  if (hasHeard) timeline.broken(what);
  else timeline.late(`${what}; it has not heard of it`);
}
