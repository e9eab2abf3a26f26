/**
 * Opens listeners on ports that another process of this worker may have open too, and on none of a foreign process: it would
 * silently get some of our connections, or we its own. Called by the engines and the worker's API.
 */
import { assertPortFree } from "../../shared/runtime/ports.ts";
import type { Sharing } from "./types.ts";
import { forgetListening, listenersAt, listenersBefore, listenersOver } from "./linux-sockets.ts";
import { openNoted, type OwnSocket } from "./linux-reuseport.ts";

/** Who else listens on a port. */
export interface Neighbours {
  /** Listeners of the other process, as they came. */
  others: readonly number[];
  /** Null: nobody else may listen there. */
  sharing: Sharing | null;
}

/** Of a port that nobody else listens on. */
export const UNSHARED: Neighbours = { others: [], sharing: null };

export interface Bound<S> {
  listener: S;
  socket: OwnSocket;
  neighbours: Neighbours;
}

interface BindAddress {
  hostname: string;
  port: number;
  sharing: Sharing | null;
}

/**
 * Both processes open the port of a new circuit at once: so long one may be in the way of the other, which checks whether
 * the port is free for a tenth of a millisecond, or for some more when other processes want the processor. Milliseconds.
 */
const COLLISION_MS = 30;

/** Opens a listener with SO_REUSEPORT on a port that is free or the other process's. Throws when a foreign process has it. */
export function bindShared<S>(address: BindAddress, open: () => S): Bound<S> {
  const { port, sharing } = address;
  if (sharing?.lanes !== undefined) return openAmong(address, sharing, open);
  const end = performance.now() + COLLISION_MS;
  let foreign: readonly number[] = [];
  for (;;) {
    try {
      return openNow(address, open);
    } catch (error) {
      if (!isTaken(error)) throw error;
      const there = sharing === null ? [] : foreignAt(address, sharing);
      // The other process's check of a free port is over by then; who is still there is foreign.
      const stays = there.some((inode) => foreign.includes(inode));
      if (sharing === null || stays || performance.now() > end || !sharing.hasSibling())
        throw new Error(`port ${port} is in use by another process`, { cause: error });
      foreign = there;
    }
    Bun.sleepSync(1);
    // What was in the way has gone, or is a listener by now.
    forgetListening();
  }
}

/** Opens one that shares its port with nobody. */
export function bindAlone<S>(open: () => S): Bound<S> {
  return { ...openNoted(open), neighbours: UNSHARED };
}

// --- internal ---

/**
 * Many processes open the port of a new circuit at once. To try whether it is free would be in the way of the others, so the
 * tables alone tell of foreign ones that would share it; with any other the port can't be opened at all.
 */
function openAmong<S>({ hostname, port }: BindAddress, sharing: Sharing, open: () => S): Bound<S> {
  const there = port === 0 ? [] : listenersOver(hostname, port);
  if (!areSiblings(there, sharing)) throw new Error(`port ${port} is in use by another process`);
  return { ...openNoted(open), neighbours: { others: [], sharing } };
}

function openNow<S>(address: BindAddress, open: () => S): Bound<S> {
  const { sharing } = address;
  const found = siblingsAt(address);
  const { listener, socket } = openNoted(open);
  const others = mayHaveChanged(found, sharing) ? listenersBefore(socket.inode) : found;
  return { listener, socket, neighbours: { others, sharing } };
}

/**
 * Both open the port of a new circuit at once: both may have found it free, and what was found may have been no listener, but
 * the other one's check of a free port, which is gone by now. The tables say who was first. What a successor finds serves
 * already, and to read the tables for each of thousands of ports would take it seconds.
 */
function mayHaveChanged(found: readonly number[], sharing: Sharing | null): boolean {
  if (sharing === null) return false;
  return found.length === 0 ? sharing.hasSibling() : !sharing.isNew();
}

/** Listeners of the other process there. Throws when the port is taken and not all are. */
function siblingsAt(address: BindAddress): readonly number[] {
  const { hostname, port, sharing } = address;
  // A successor opens all circuits' ports in one turn; that they are taken is known.
  if (sharing?.isNew() === true) {
    const there = listenersAt(hostname, port);
    if (there.length > 0 && areSiblings(there, sharing)) return there;
  }
  try {
    assertPortFree(hostname, port);
    return [];
  } catch (error) {
    if (sharing === null || port === 0 || !isTaken(error)) throw error;
    forgetListening();
    const there = listenersAt(hostname, port);
    if (there.length > 0 && areSiblings(there, sharing)) return there;
    throw error;
  }
}

function areSiblings(there: readonly number[], sharing: Sharing): boolean {
  return there.every((inode) => sharing.sideOf(inode) !== "foreign");
}

function foreignAt({ hostname, port }: BindAddress, sharing: Sharing): readonly number[] {
  return listenersAt(hostname, port).filter((inode) => sharing.sideOf(inode) === "foreign");
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EADDRINUSE";
}
