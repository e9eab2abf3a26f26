/** Processes are killed at any moment, around a publication too, or stand still for a while. */
import { until } from "../../support/until.ts";
import { AUTHORITIES, type Node } from "../cluster.ts";
import type { Fault, FaultContext } from "../fault.ts";
import type { Machine } from "../machine.ts";

/** How long a supervisor takes to start what has died. Milliseconds. */
const DOWN_MS = [0, 1000] as const;
const PAUSE_MS = [300, 2500] as const;
/** Longer than a worker with short times needs to be lost. */
const LONG_PAUSE_MS = [5500, 8000] as const;

export const processFaults: Fault[] = [
  { name: "kill-coordinator", weight: 3, run: (context) => kill(context, [context.cluster.coordinator]) },
  { name: "kill-node", weight: 3, run: (context) => kill(context, [anyNode(context).machine]) },
  { name: "kill-worker", weight: 1, run: (context) => kill(context, nodesOfOne(context)) },
  { name: "die-before-publication", weight: 3, run: (context) => die(context, "before publication") },
  { name: "die-after-publication", weight: 3, run: (context) => die(context, "after publication") },
  { name: "node-dies-before-acknowledging", weight: 1, run: (context) => dieAsNode(context, "before publication") },
  { name: "node-dies-after-acknowledging", weight: 1, run: (context) => dieAsNode(context, "after publication") },
  { name: "pause-coordinator", weight: 2, run: (context) => pause(context, [context.cluster.coordinator]) },
  { name: "pause-node", weight: 2, run: (context) => pause(context, [anyNode(context).machine]) },
  { name: "pause-worker", weight: 2, run: (context) => pause(context, nodesOfOne(context)) },
];

// --- internal ---

function anyNode({ random, cluster }: FaultContext): Node {
  return random.pick(cluster.nodes);
}

function nodesOfOne({ random, cluster }: FaultContext): Machine[] {
  const authority = random.pick(AUTHORITIES);
  return cluster.nodes.filter((node) => node.authority === authority).map(({ machine }) => machine);
}

async function kill({ random, timeline, cluster }: FaultContext, machines: readonly Machine[]): Promise<void> {
  await Bun.sleep(random.between(0, 400));
  const names = machines.map(({ name }) => name).join(" and ");
  timeline.note("fault", `SIGKILL of ${names}`);
  await Promise.all(machines.map((machine) => machine.kill()));
  // A whole worker that stays away for longer is lost, and its circuits move.
  const isLong = machines.length > 1 && cluster.profile.times === "short" && random.chance(0.5);
  const [low, high] = isLong ? LONG_PAUSE_MS : DOWN_MS;
  await Bun.sleep(random.between(low, high));
  timeline.note("fault", `${names} is started again`);
  for (const machine of machines) machine.start();
}

type Moment = "before publication" | "after publication";

async function die(context: FaultContext, at: Moment): Promise<void> {
  await dieAt(context, context.cluster.coordinator, at);
}

async function dieAsNode(context: FaultContext, at: Moment): Promise<void> {
  await dieAt(context, anyNode(context).machine, at);
}

/** The workload brings the publication about; without one in time it was no fault. */
async function dieAt({ random, timeline }: FaultContext, machine: Machine, at: Moment): Promise<void> {
  await Bun.sleep(random.between(0, 300));
  await machine.tell({ do: "die", at });
  timeline.note("fault", `${machine.name} is to die ${at}`);
  let isDead = false;
  const end = machine.ended().then(() => (isDead = true));
  await until(() => isDead, 4000, "it dies").catch(() => timeline.note("fault", "nothing was published; it lives on"));
  if (!isDead) {
    // It may die of a publication right now.
    await machine.tell({ do: "live" }).catch(() => end);
    if (!isDead) return;
  }
  timeline.note("fault", `${machine.name} has died ${at}`);
  await Bun.sleep(random.between(...DOWN_MS));
  timeline.note("fault", `${machine.name} is started again`);
  machine.start();
}

async function pause({ random, timeline, cluster }: FaultContext, machines: readonly Machine[]): Promise<void> {
  await Bun.sleep(random.between(0, 200));
  const isLong = cluster.profile.times === "short" && random.chance(0.6);
  const [low, high] = isLong ? LONG_PAUSE_MS : PAUSE_MS;
  const ms = random.between(low, high);
  const names = machines.map(({ name }) => name).join(" and ");
  timeline.note("fault", `SIGSTOP of ${names} for ${ms} ms`);
  for (const machine of machines) machine.signal("SIGSTOP");
  await Bun.sleep(ms);
  for (const machine of machines) machine.signal("SIGCONT");
  timeline.note("fault", `SIGCONT of ${names}`);
}
