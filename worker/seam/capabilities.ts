/**
 * What an engine can do and can't, as data in the engine's room: the core asks it, the contract suite skips by it, and
 * `bun run docs` makes ARCHITECTURE.md's table of it. Types only.
 */

/** A line of the contract that an engine breaks. */
export interface Deviation {
  /** The contract's line, such as "H1". */
  readonly line: string;
  readonly reason: string;
  /** What was measured with the versions that package.json pins. */
  readonly fact: string;
}

export interface Capabilities {
  /** Trailers of an answer reach the client. */
  readonly trailers: boolean;
  /** After a 101 the bytes pass as they are: the handshake is the client's own. */
  readonly tunnels: boolean;
  /** By what an app or a client could notice. */
  readonly deviations: Readonly<Record<string, Deviation>>;
}
