/**
 * Several worker processes side by side, each kept by a supervisor of its own (supervisor.ts): the first one alone until it
 * serves, as what can't be started at all is for the operator; then the others. They are replaced one after the other, and
 * when one of the new ones does not serve, the rest stays as it is.
 */
import type { Log } from "../../shared/runtime/log.ts";
import type { Supervisor } from "./supervisor.ts";

export interface FleetDeps {
  count: number;
  /** Starts process `number`, from 1. A worker that has served before is started again whatever happens. */
  supervise: (number: number, hasServed: boolean) => Supervisor;
  log: Log;
}

export interface Fleet extends Pick<Supervisor, "stop" | "done"> {
  /** Replaces all. One after the other: asked meanwhile, it is done again later. */
  replace(): void;
  /** Replaces one, when it is its turn. */
  replaceOne(number: number): void;
  /** The processes that serve and were not asked to go. */
  serving(): number[];
  /** True for a process that is to go on: not for one that was asked to go. */
  keeps(pid: number): boolean;
}

/** Throws when the first process can't be started. */
export function startFleet({ count, supervise, log }: FleetDeps): Fleet {
  const first = supervise(1, false);
  const lanes = [first];
  const all = Promise.withResolvers<number>();
  const wanted = new Set<number>();
  let isReplacing = false;
  let isStopping = false;

  void first.served.then(() => {
    if (isStopping) return;
    for (let number = 2; number <= count; number++) lanes.push(supervise(number, true));
  });
  // Without a stop only the first one ends by itself, before it has served: then there are no others.
  void first.done.then(async () => {
    const codes = await Promise.all(lanes.map(({ done }) => done));
    all.resolve(Math.max(...codes));
  });

  async function replaceWanted(): Promise<void> {
    if (isReplacing) return;
    isReplacing = true;
    for (let number = least(wanted); number !== null && !isStopping; number = least(wanted)) {
      wanted.delete(number);
      // One that has not been started yet is new anyway.
      const isNew = (await lanes[number - 1]?.replaced()) ?? true;
      if (isNew || isStopping) continue;
      if (wanted.size > 0)
        log.error({ process: number }, "a new worker process does not serve; the others stay as well");
      wanted.clear();
    }
    isReplacing = false;
  }

  return {
    replace() {
      for (let number = 1; number <= count; number++) wanted.add(number);
      void replaceWanted();
    },
    replaceOne(number) {
      wanted.add(number);
      void replaceWanted();
    },
    serving: () => lanes.map((lane) => lane.serving()).filter((pid) => pid !== null),
    keeps: (pid) => lanes.some((lane) => lane.keeps(pid)),
    stop() {
      isStopping = true;
      for (const lane of lanes) lane.stop();
    },
    done: all.promise,
  };
}

// --- internal ---

function least(numbers: ReadonlySet<number>): number | null {
  return numbers.size === 0 ? null : Math.min(...numbers);
}
