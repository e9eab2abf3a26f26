/** Single-use ids of tickets: remembered in Redis for all nodes, and here for when Redis is away. */
import { reason } from "../../shared/failure.ts";
import type { LiveData } from "../../shared/live/live.ts";
import type { Log } from "../../shared/runtime/log.ts";

export interface Burner {
  /** True the first time. `ms` is how long the id could be used at all. */
  burn(id: string, ms: number): Promise<boolean>;
}

export function createBurner(live: LiveData, log: Log, now: () => number): Burner {
  /** Id → when it can be forgotten. Insertion order is nearly expiry order: lifetimes are about equal. */
  const used = new Map<string, number>();

  function forgetOld(): void {
    for (const [id, until] of used) {
      if (until > now()) return;
      used.delete(id);
    }
  }

  return {
    async burn(id, ms) {
      forgetOld();
      if (used.has(id)) return false;
      used.set(id, now() + ms);
      try {
        return await live.burn(id, ms / 1000);
      } catch (error) {
        log.warn({ reason: reason(error) }, "live data is away: a used ticket is remembered by this node only");
        return true;
      }
    },
  };
}
