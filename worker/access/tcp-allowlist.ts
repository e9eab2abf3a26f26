/**
 * Which client addresses have passed `/setup` for a TCP circuit (security 6). Raw TCP carries no credential,
 * so this is what lets a connection in. Remembered for all nodes of an authority, and here for when Redis is away.
 */
import { reason } from "../../shared/failure.ts";
import { canonicalAddress } from "../../shared/http/addresses.ts";
import type { LiveData } from "../../shared/live/live.ts";
import { Expiring } from "../../shared/runtime/expiring.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { isoTime } from "../../shared/values.ts";

export interface TcpAllowlist {
  /** The address may use the circuit for 12 hours. Resolves when the other nodes know it too, or can't be told. */
  note(circuitId: string, address: string): Promise<void>;
  /** True when it was let in, at this node or another. */
  knows(circuitId: string, address: string): Promise<boolean>;
}

export const ALLOWED_SECONDS = 12 * 3600;
/** Addresses remembered here; the rest is in Redis. */
const MAX_ADDRESSES = 100_000;

export function createTcpAllowlist(live: LiveData, log: Log, now: () => number): TcpAllowlist {
  const known = new Expiring<true>(MAX_ADDRESSES, now);
  /** Questions to the other nodes that are under way: a hundred connections at once ask one. */
  const asking = new Map<string, Promise<boolean>>();

  async function ask(key: string): Promise<boolean> {
    try {
      return await live.isAllowed(key);
    } catch (error) {
      log.warn(
        { reason: reason(error) },
        "live data is away: cannot look up which addresses passed /setup at other nodes",
      );
      return false;
    }
  }

  return {
    async note(circuitId, address) {
      known.set(keyOf(circuitId, address), true, ALLOWED_SECONDS * 1000);
      await live.noteAllowed(keyOf(circuitId, address), ALLOWED_SECONDS).catch((error: unknown) => {
        log.warn(
          { reason: reason(error) },
          "live data is away: an address that passed /setup is remembered by this node only",
        );
      });
    },
    async knows(circuitId, address) {
      const key = keyOf(circuitId, address);
      if (known.get(key) === true) return true;
      const asked = asking.get(key) ?? ask(key).finally(() => asking.delete(key));
      asking.set(key, asked);
      return asked;
    },
  };
}

/** Until when an address may connect that is let in now: ISO 8601. `now` in epoch milliseconds. */
export function letsInUntil(now: number): string {
  return isoTime(now + ALLOWED_SECONDS * 1000);
}

// --- internal ---

function keyOf(circuitId: string, address: string): string {
  return `${circuitId} ${canonicalAddress(address)}`;
}
