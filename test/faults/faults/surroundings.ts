/** What a process stands on gives way: its disk is full, its clock steps. */
import type { Fault, FaultContext } from "../fault.ts";
import type { Machine } from "../machine.ts";

const FULL_MS = [200, 1500] as const;
const ASKEW_MS = [300, 2500] as const;
const STEPS_MS = [-3_600_000, -2000, 2000, 3_600_000];

export const surroundingFaults: Fault[] = [
  { name: "disk-full", weight: 3, isPossible: ({ cluster }) => cluster.disk.isSmall, run: fillDisk },
  { name: "clock-of-coordinator", weight: 2, run: (context) => step(context, context.cluster.coordinator) },
  {
    name: "clock-of-node",
    weight: 2,
    run: (context) => step(context, context.random.pick(context.cluster.nodes).machine),
  },
];

// --- internal ---

async function fillDisk({ cluster, random, timeline }: FaultContext): Promise<void> {
  await Bun.sleep(random.between(0, 200));
  const ms = random.between(...FULL_MS);
  timeline.note("fault", `the coordinator's disk is full for ${ms} ms`);
  cluster.disk.fill();
  await Bun.sleep(ms);
  cluster.disk.free();
  timeline.note("fault", "the disk has room again");
}

/** It steps, and is set right again later: two steps. */
async function step({ random, timeline }: FaultContext, machine: Machine): Promise<void> {
  await Bun.sleep(random.between(0, 200));
  const offsetMs = random.pick(STEPS_MS);
  timeline.note("fault", `the clock of ${machine.name} steps by ${offsetMs / 1000} s`);
  await machine.tell({ do: "clock", offsetMs });
  await Bun.sleep(random.between(...ASKEW_MS));
  await machine.tell({ do: "clock", offsetMs: 0 });
  timeline.note("fault", `the clock of ${machine.name} is set right`);
}
