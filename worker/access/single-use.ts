/** Single-use ids of tickets: remembered in Redis for all nodes, and here for when Redis is away. */
import { reason } from "../../shared/failure.ts";
import type { LiveData } from "../../shared/live/live.ts";
import { Expiring } from "../../shared/runtime/expiring.ts";
import type { Log } from "../../shared/runtime/log.ts";

/** What becomes of a use: `full` is one that is not taken, because its holder has had as many as are remembered. */
export type Use = "first" | "used" | "full";

export interface SingleUse {
  /** `ms` is how long the id could be used at all; `holder` whose it is, of whom `MOST_OF_HOLDER` are remembered. */
  consume(id: string, holder: string, ms: number): Promise<Use>;
}

/** A link gives its first client a ticket each time: more than people ever use, and two megabytes of memory. */
export const MOST_OF_HOLDER = 10_000;

export function createSingleUse(live: LiveData, log: Log, now: () => number): SingleUse {
  // By holder. None is forgotten before its time: that would let somebody in twice while Redis is away.
  const used = new Expiring<Expiring<true>>(Infinity, now);

  return {
    async consume(id, holder, ms) {
      const own = used.get(holder) ?? new Expiring<true>(Infinity, now);
      if (own.get(id) === true) return "used";
      if (own.count() >= MOST_OF_HOLDER) return "full";
      own.set(id, true, ms);
      used.set(holder, own, ms);
      try {
        return (await live.consume(id, ms / 1000)) ? "first" : "used";
      } catch (error) {
        log.warn({ reason: reason(error) }, "live data is away: a used ticket is remembered by this node only");
        return "first";
      }
    },
  };
}
