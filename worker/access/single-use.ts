/** Single-use ids of tickets: remembered in Redis for all nodes, and here for when Redis is away. */
import { reason } from "../../shared/failure.ts";
import type { LiveData } from "../../shared/live/live.ts";
import { Expiring } from "../../shared/runtime/expiring.ts";
import type { Log } from "../../shared/runtime/log.ts";

export interface SingleUse {
  /** True the first time. `ms` is how long the id could be used at all. */
  consume(id: string, ms: number): Promise<boolean>;
}

export function createSingleUse(live: LiveData, log: Log, now: () => number): SingleUse {
  // As many as come: one that is forgotten before its time would let somebody in twice while Redis is away.
  const used = new Expiring<true>(Infinity, now);

  return {
    async consume(id, ms) {
      if (used.get(id) === true) return false;
      used.set(id, true, ms);
      try {
        return await live.consume(id, ms / 1000);
      } catch (error) {
        log.warn({ reason: reason(error) }, "live data is away: a used ticket is remembered by this node only");
        return true;
      }
    },
  };
}
