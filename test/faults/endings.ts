/** Sessions end: told by the platform, or seen from their kernel's address being another session's by now. */
import { message } from "../support/platform.ts";
import type { Kernel } from "./kernels.ts";
import { label, newApp, type App } from "./model.ts";
import type { Random } from "./random.ts";
import { readDatabase } from "./database.ts";
import { haunt } from "./ghosts.ts";
import { nodesOf, type Stage } from "./stage.ts";
import { open } from "./tenants.ts";

/** The session's kernel has ended, and a new session's gets its address before anybody has closed the old circuit. */
export async function handOver(stage: Stage, app: App, kernel: Kernel, random: Random): Promise<void> {
  const { apps, timeline, ghosts } = stage;
  const { slot, cookie, circuitId } = app;
  app.isOver = true;
  // Whether it has its circuit still is known when its heir's call has an outcome.
  app.existence = "unknown";
  kernel.handTo(null);
  const heir = newApp(random.uuid(), app.name, app.domain, false, kernel);
  heir.isBusy = true;
  apps.push(heir);
  timeline.note("tenant", `${label(app)} has ended; kernel ${kernel.port} is ${label(heir)}'s from now on`);
  const isOpen = await open(stage, heir, kernel, (nodes) => random.pick(nodes));
  heir.isBusy = false;
  // Without success the old circuit may be there or not; it is closed later.
  if (!isOpen) return;
  if (circuitId !== null) app.gone.add(circuitId);
  Object.assign(app, { existence: "absent", circuitId: null, slot: null, cookie: "" });
  if (slot === null) return;
  const ghost = {
    what: `${label(app)}, whose kernel is ${label(heir)}'s,`,
    slot,
    cookie,
    revision: revisionOf(stage, slot.authority),
  };
  ghosts.push(ghost);
  // The worst moment: a node that has not heard of it yet would let the old tenant in to the new one's kernel.
  await Promise.all(nodesOf(stage, slot.authority).map((node) => haunt(stage, ghost, node)));
}

/** The platform says on its channel that the session is over. The message may be lost: a Manager closes its circuits too. */
export async function end({ platform, timeline }: Stage, app: App): Promise<void> {
  app.isOver = true;
  app.existence = "unknown";
  timeline.note("platform", `session of ${label(app)} is over`);
  await platform(message("session_terminated", { session_id: app.sessionId, reason: "user-requested" })).catch(() =>
    timeline.note("platform", "nobody hears it"),
  );
}

// --- internal ---

/** The worker's newest change by now. */
function revisionOf({ cluster: { database } }: Stage, authority: string): number {
  return readDatabase(database).workers.find((worker) => worker.authority === authority)?.revision ?? 0;
}
