/** What tenants do with their apps, and what they learn of it. Each deed notes itself in the timeline and in the model. */
import type { Node } from "./cluster.ts";
import type { Identity, Kernel } from "./kernels.ts";
import { label, newApp, noteClosed, noteOpened, type App } from "./model.ts";
import type { Random } from "./random.ts";
import { nodesOf, type Stage } from "./stage.ts";
import { enter, placeOf, visit, type Visit } from "./visits.ts";

/** A new tenant with one app that nobody has opened yet. */
export function newTenant({ apps, kernels }: Stage, random: Random, domain: App["domain"]): App {
  const sessionId = random.uuid();
  const app = newApp(
    sessionId,
    random.pick(["jupyter", "vscode"]),
    domain,
    random.chance(0.25),
    kernels.take(sessionId),
  );
  apps.push(app);
  return app;
}

/** Opens an app at one of its kernels, or at a new one, and enters it where `choose` says. True when it is open. */
export async function open(
  stage: Stage,
  app: App,
  kernel: Kernel,
  choose: ((nodes: Node[]) => Node) | null,
): Promise<boolean> {
  const { calls, timeline, cluster } = stage;
  const outcome = await calls.open(wishOf(app, kernel));
  const before = app.circuitId;
  noteOpened(app, kernel, outcome, timeline);
  const said =
    outcome.is === "done" ? `${outcome.value.circuitId}${outcome.value.reuse ? " again" : ""}` : tell(outcome);
  timeline.note("tenant", `opens ${label(app)} at kernel ${kernel.port}: ${said}`);
  if (outcome.is !== "done") return false;
  // Its session has the address from now on: the kernel is up.
  if (kernel.tenant === null) kernel.handTo(app.sessionId);
  const { redirectUrl } = outcome.value;
  const { hostname } = new URL(redirectUrl);
  const authority = cluster.nodes.find(({ host }) => host === hostname)?.authority ?? app.domain;
  // Another circuit, or another worker: the old way in leads to nothing of theirs any more.
  if (before !== app.circuitId || app.slot?.authority !== authority) app.slot = null;
  if (choose !== null) await comeIn(stage, app, choose(nodesOf(stage, authority)), redirectUrl);
  return true;
}

/** Opens it twice at once: both get the one circuit. */
export async function openTwice(stage: Stage, app: App, kernel: Kernel): Promise<void> {
  const wish = wishOf(app, kernel);
  const [one, other] = await Promise.all([stage.calls.open(wish), stage.calls.open(wish)]);
  stage.timeline.note("tenant", `opens ${label(app)} twice at kernel ${kernel.port}: ${tell(one)}, ${tell(other)}`);
  app.slot = null;
  if (one.is === "done" && other.is === "done") {
    if (one.value.circuitId !== other.value.circuitId)
      stage.timeline.broken(
        `${label(app)} opened twice at once has ${one.value.circuitId} and ${other.value.circuitId}`,
      );
    return noteOpened(app, kernel, one, stage.timeline);
  }
  // One was told no, or nothing: the other one's circuit may be there, or have been taken back under it.
  const worse = one.is === "done" ? other : one;
  noteOpened(app, kernel, worse.is === "done" ? one : { is: "unknown", why: tell(worse) }, stage.timeline);
}

export async function close(stage: Stage, app: App, random: Random): Promise<void> {
  const isKnown = app.circuitId !== null && (app.existence === "present" || app.isOver);
  const byId = isKnown && (app.isOver || random.chance(0.5));
  const outcome = await (byId
    ? stage.calls.remove(app.circuitId ?? "")
    : stage.calls.close(wishOf(app, [...app.kernels][0] as Kernel)));
  noteClosed(app, outcome, stage.timeline);
  stage.timeline.note("tenant", `closes ${label(app)}${byId ? " by id" : ""}: ${tell(outcome)}`);
}

/** Asks an app at a node. Whoever else answers breaks the most important promise of all. */
export async function ask(stage: Stage, app: App, node: Node): Promise<Visit> {
  const { slot } = app;
  if (slot === null) return { is: "broken", why: "nobody has entered yet" };
  const place = placeOf(stage.cluster, node, slot);
  const answer = await visit(place, app.isPublic || app.cookie === "" ? {} : { Cookie: app.cookie });
  // Everybody may ask at a public circuit's slot, and it may be another's by now when this one is being closed.
  const isCertain = !app.isPublic || (app.slot === slot && app.existence === "present" && !app.isBusy);
  // From its session's end on ghosts.ts comes in its place.
  const isOurs = isCertain && !app.isOver;
  if (answer.is === "answered" && isSomebodyElse(answer.by, app) && isOurs)
    stage.timeline.broken(
      `${label(app)} at ${node.machine.name} (${place.origin}) was answered by ${JSON.stringify(answer.by)}`,
    );
  return answer;
}

/** A kernel that has ended is nobody's: it would refuse the connection. */
function isSomebodyElse({ tenant }: Identity, { sessionId }: App): boolean {
  return tenant !== null && tenant !== sessionId;
}

/** Takes the way in that a coordinator has given. */
async function comeIn(stage: Stage, app: App, node: Node, redirectUrl: string): Promise<void> {
  const circuit = app.circuitId;
  const way = await enter(stage.cluster, node, redirectUrl);
  stage.timeline.note(
    "tenant",
    `enters ${label(app)} at ${node.machine.name}: ${way === null ? "no" : (way.slot.port ?? way.slot.subdomain ?? "")}`,
  );
  if (way === null || circuit !== app.circuitId) return;
  app.slot = way.slot;
  app.cookie = way.cookie;
}

export function wishOf({ sessionId, domain, name, isPublic }: App, kernel: Kernel) {
  return { sessionId, domain, app: name, isPublic, kernelPort: kernel.port };
}

/** An outcome for the timeline. */
export function tell(outcome: { is: string; status?: number; why?: string; value?: unknown }): string {
  if (outcome.is === "done") return "done";
  return `${outcome.is} ${outcome.status ?? ""} ${(outcome.why ?? "").replaceAll(/\s+/g, " ").slice(0, 160)}`;
}
