/**
 * Who used a setup token first: the same client may use its link again for a while, because the platform's WebUI fetches
 * a link before it opens it (security 4). Remembered in Redis for all nodes, and here for when Redis is away.
 */
import { reason } from "../../shared/failure.ts";
import { canonicalAddress } from "../../shared/http/addresses.ts";
import type { LiveData } from "../../shared/live/live.ts";
import { Expiring } from "../../shared/runtime/expiring.ts";
import type { Log } from "../../shared/runtime/log.ts";

export interface FirstUse {
  /** The client's address, as setup.ts tells it; null where a node of an older version has noted only that there was one. */
  by: string | null;
  /** Epoch milliseconds. */
  at: number;
}

export interface FirstUses {
  /** Notes the client as the first one; gives who was before, null when nobody was. */
  claim(id: string, client: string): Promise<FirstUse | null>;
  /** Who was the first; null when nobody is remembered. */
  find(id: string): Promise<FirstUse | null>;
}

/** How long the first client may use its link again. Seconds. */
export const SAME_CLIENT_SECONDS = 600;

/** First uses remembered here; the rest is in Redis. */
const MAX_USES = 100_000;

export function createFirstUses(live: LiveData, log: Log, now: () => number): FirstUses {
  /** Promises, so that two uses at one moment ask once. */
  const known = new Expiring<Promise<FirstUse>>(MAX_USES, now);

  async function ask(id: string, mine: FirstUse): Promise<FirstUse> {
    try {
      const told = await live.claim(id, written(mine), SAME_CLIENT_SECONDS);
      return told === null ? mine : read(told);
    } catch (error) {
      log.warn(
        { reason: reason(error) },
        "live data is away: the first use of a setup link is remembered by this node only",
      );
      return mine;
    }
  }

  return {
    async claim(id, client) {
      const here = known.get(id);
      if (here !== undefined) return here;
      const mine = { by: canonicalAddress(client), at: now() };
      const use = ask(id, mine);
      known.set(id, use, SAME_CLIENT_SECONDS * 1000);
      const first = await use;
      return first === mine ? null : first;
    },
    async find(id) {
      const here = known.get(id);
      if (here !== undefined) return here;
      try {
        const told = await live.claimed(id);
        return told === null ? null : read(told);
      } catch (error) {
        log.warn({ reason: reason(error) }, "live data is away: cannot look up who used a setup link first");
        return null;
      }
    },
  };
}

export function isSameClient({ by }: FirstUse, client: string): boolean {
  return by === canonicalAddress(client);
}

/** Whether the link is nobody's any more. */
export function isOver({ at }: FirstUse, now: number): boolean {
  return now - at > SAME_CLIENT_SECONDS * 1000;
}

// --- internal ---

function written({ by, at }: FirstUse): string {
  return `${at} ${by ?? ""}`;
}

function read(text: string): FirstUse {
  const [at, by] = text.split(" ");
  return by === undefined ? { by: null, at: Number.POSITIVE_INFINITY } : { by, at: Number(at) };
}
