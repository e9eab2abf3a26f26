/** What a process stands on gives way: its disk is full, its clock steps, its ports are another's. */
import type { Node, Profile } from "../cluster.ts";
import type { Fault, FaultContext } from "../fault.ts";
import type { Machine } from "../machine.ts";
import { until } from "../../support/until.ts";

const FULL_MS = [200, 1500] as const;
const ASKEW_MS = [300, 2500] as const;
const TAKEN_MS = [300, 4000] as const;
const STEPS_MS = [-3_600_000, -2000, 2000, 3_600_000];

export const surroundingFaults: Fault[] = [
  { name: "disk-full", weight: 3, isPossible: ({ cluster }) => cluster.disk.isSmall, run: fillDisk },
  { name: "clock-of-coordinator", weight: 2, run: (context) => step(context, context.cluster.coordinator) },
  {
    name: "clock-of-node",
    weight: 2,
    run: (context) => step(context, context.random.pick(context.cluster.nodes).machine),
  },
  { name: "ports-taken", weight: 2, run: takePorts },
];

// --- internal ---

/** A stranger on a node's machine listens on half of the ports that are free there, and hangs up on whoever comes. */
async function takePorts({ cluster, random, timeline }: FaultContext): Promise<void> {
  await Bun.sleep(random.between(0, 200));
  const { host, machine, api } = random.pick(cluster.nodes.filter(isByPort(cluster.profile)));
  const [low, high] = cluster.ports;
  const wanted = Array.from({ length: high - low + 1 }, (_, at) => low + at).filter(() => random.chance(0.5));
  const strangers = wanted.flatMap((port) => listenAt(host, port) ?? []);
  const ports = strangers.map(({ port }) => port).join();
  timeline.note("fault", `somebody else takes ports ${ports} of ${machine.name}`);
  await Bun.sleep(random.between(...TAKEN_MS));
  for (const stranger of strangers) stranger.stop(true);
  timeline.note("fault", `ports ${ports} of ${machine.name} are free again`);
  // Tables do not tell of this: it has its five seconds here.
  await until(async () => (await blockedAt(api)).length === 0, 5000, `${machine.name} opens its ports again`);
}

async function blockedAt(api: string): Promise<number[]> {
  const answer = (await (await fetch(`${api}/health/status`)).json()) as { blocked_ports: number[] };
  return answer.blocked_ports;
}

function isByPort({ shape }: Profile): (node: Node) => boolean {
  return ({ authority }) => authority === "A" || shape === "port";
}

/** Null where the node itself listens: it was there first. */
function listenAt(hostname: string, port: number): Bun.TCPSocketListener<undefined> | null {
  try {
    const socket = { data: () => undefined, open: (one: Bun.Socket<undefined>) => void one.end() };
    return Bun.listen({ hostname, port, exclusive: true, socket });
  } catch {
    return null;
  }
}

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
