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

/** An entry of the table: with it goes what is remembered here. */
interface Known {
  readonly circuit: { readonly id: string };
}

export interface TcpAllowlist {
  /** The address may use the circuit for 12 hours. Resolves when the other nodes know it too, or can't be told. */
  note(entry: Known, address: string): Promise<void>;
  /** True when it was let in, at this node or another. */
  knows(entry: Known, address: string): Promise<boolean>;
}

export const ALLOWED_SECONDS = 12 * 3600;
/** Addresses of a circuit that are remembered here; the rest is in Redis. */
const MAX_ADDRESSES = 10_000;

export function createTcpAllowlist(live: LiveData, log: Log, now: () => number): TcpAllowlist {
  const known = new WeakMap<Known, Expiring<true>>();
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
    async note(entry, address) {
      const plain = canonicalAddress(address);
      let ofCircuit = known.get(entry);
      if (ofCircuit === undefined) known.set(entry, (ofCircuit = new Expiring(MAX_ADDRESSES, now)));
      ofCircuit.set(plain, true, ALLOWED_SECONDS * 1000);
      await live.noteAllowed(keyOf(entry, plain), ALLOWED_SECONDS).catch((error: unknown) => {
        log.warn(
          { reason: reason(error) },
          "live data is away: an address that passed /setup is remembered by this node only",
        );
      });
    },
    async knows(entry, address) {
      const plain = canonicalAddress(address);
      if (known.get(entry)?.get(plain) === true) return true;
      const key = keyOf(entry, plain);
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

function keyOf({ circuit }: Known, plain: string): string {
  return `${circuit.id} ${plain}`;
}
