/** What a worker is made of that is handed in from outside, and what all its parts share. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { LiveData } from "../../shared/live/live.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { WorkerConfig } from "../config/table.ts";
import type { Lane } from "../lanes/lane.ts";
import type { Sibling } from "../listeners/sibling.ts";
import type { Engine } from "../seam/engine.ts";
import { createClock, type Clock } from "../state/clock.ts";

export interface WorkerDeps {
  config: WorkerConfig;
  engine: Engine;
  /** Who may share this worker's ports; nobody without it. */
  sharing?: Sibling | null;
  /** Which of the worker's processes this is; without it, or with null, the only one. */
  lane?: Lane | null;
  bus: Bus;
  live: LiveData;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
  newId: () => string;
}

export interface Parts extends WorkerDeps {
  sharing: Sibling | null;
  lane: Lane | null;
  /** Says of which worker each line is. */
  log: Log;
  clock: Clock;
  /** This process, as the coordinator knows it. */
  nodeId: string;
  /** The coordinator's time; epoch milliseconds. */
  now: () => number;
  /** This machine's time, as its files have it; epoch milliseconds. */
  ownNow: () => number;
}

export function createParts(deps: WorkerDeps): Parts {
  const { sharing = null, lane = null } = deps;
  const about = { worker: deps.config.proxy_worker.authority, ...(lane === null ? {} : { process: lane.number }) };
  const log = deps.log.child(about);
  const clock = createClock({ own: deps.now, steady: () => performance.now(), log });
  return { ...deps, sharing, lane, log, clock, nodeId: deps.newId(), now: clock.now, ownNow: deps.now };
}
