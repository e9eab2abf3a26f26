/**
 * What listeners are to those who use them: one that is open, and with whom its port is shared. Types only, for engines,
 * the worker's API and the seam.
 */
import type { TlsPair } from "../../shared/runtime/tls.ts";

/**
 * Whose a listener on a port of ours is: of the process that is taken over from, of one that takes over from us, of one that
 * serves side by side with us, or none of these.
 */
export type Side = "old" | "successor" | "lane" | "foreign";

/** With what other process of the same authority ports are shared: how one takes over from the other. */
export interface Sharing {
  /** Whose a listener is, by inode. */
  sideOf(inode: number): Side;
  /** True while the process that is taken over from runs. */
  isNew(): boolean;
  /** True while another process of this worker runs. */
  hasSibling(): boolean;
  /** Resolves when the process that is taken over from has ended. */
  alone: Promise<void>;
  /** Processes that serve side by side with this one; without them a port's connections are one process's at a time. */
  lanes?: Lanes;
}

/** The other processes of a worker that has several, each in a lane of its own. */
export interface Lanes {
  /** True when others go on listening without this one: it is replaced, or was to replace one and does not. */
  othersStay(): boolean;
  /** True while one of them is being replaced. */
  isReplacing(): boolean;
  /** True when another one listens on a port. */
  serve(port: number): boolean;
  /** A listener of ours is open: others know by its inode that it is no foreign one. */
  opened(inode: number): void;
  /** Calls `act` each time another one has ended; gives what ends that. */
  onEnd(act: () => void): () => void;
}

export interface Listener {
  readonly port: number;
  /**
   * Closes every connection at once, or lets requests end first. A port that a successor listens on is left to it: idle
   * connections then have `idleMs` milliseconds to hear that they should come back.
   */
  close(how: "now" | "finish", idleMs?: number): Promise<void>;
  /** New connections get this certificate; open ones stay. Throws when the listener has none. */
  renew(tls: TlsPair): void;
}
