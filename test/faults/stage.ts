/** What the parts of a trial share. */
import type { Calls } from "./calls.ts";
import type { Cluster, Node } from "./cluster.ts";
import type { Kernels } from "./kernels.ts";
import type { App, Service } from "./model.ts";
import type { Random } from "./random.ts";
import type { Timeline } from "./timeline.ts";
import type { Slot } from "./visits.ts";

export interface Stage {
  cluster: Cluster;
  calls: Calls;
  kernels: Kernels;
  timeline: Timeline;
  random: Random;
  /** Says something on the platform's channel. Rejects while Redis is away. */
  platform: (text: string) => Promise<void>;
  apps: App[];
  services: Service[];
  /** Ways in to circuits that were gone before the fault: nobody may ever be let in by them. */
  ghosts: Ghost[];
}

/** Somebody who comes with the permit of a circuit that is gone. */
export interface Ghost {
  what: string;
  slot: Slot;
  cookie: string;
  /** The worker's revision when it was gone: a node that is not there yet goes by what it knows. */
  revision: number;
}

/** The nodes of a worker. */
export function nodesOf({ cluster }: Stage, authority: string): Node[] {
  return cluster.nodes.filter((node) => node.authority === authority);
}
