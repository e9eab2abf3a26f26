/** Single-use ids of tickets: remembered in Redis for all nodes, and here for when Redis is away. */
import { Failure, reason } from "../../shared/failure.ts";
import type { LiveData } from "../../shared/live/live.ts";
import { Expiring } from "../../shared/runtime/expiring.ts";
import type { Log } from "../../shared/runtime/log.ts";

export interface SingleUse {
  /**
   * True the first time. `ms` is how long the id could be used at all, `circuit` whose ticket it is. Rejects with
   * too-many-connections when one circuit has had `MOST_OF_CIRCUIT` within that time.
   */
  consume(id: string, circuit: string, ms: number): Promise<boolean>;
}

/** A link gives its first client a ticket each time: more than people ever use, and a megabyte of memory. */
export const MOST_OF_CIRCUIT = 5000;

export function createSingleUse(live: LiveData, log: Log, now: () => number): SingleUse {
  // By circuit. None is forgotten before its time: that would let somebody in twice while Redis is away.
  const used = new Expiring<Expiring<true>>(Infinity, now);

  return {
    async consume(id, circuit, ms) {
      const own = used.get(circuit) ?? new Expiring<true>(Infinity, now);
      if (own.get(id) === true) return false;
      if (own.count() >= MOST_OF_CIRCUIT) throw new Failure("appproxy/too-many-connections", TOO_OFTEN);
      own.set(id, true, ms);
      used.set(circuit, own, ms);
      try {
        return await live.consume(id, ms / 1000);
      } catch (error) {
        log.warn({ reason: reason(error) }, "live data is away: a used ticket is remembered by this node only");
        return true;
      }
    },
  };
}

// --- internal ---

const TOO_OFTEN =
  "This app was opened too often in the last minutes; use a tab in which it is open, or try again later";
