/**
 * What has a socket of a listener, one after the other: a greeting (TLS), a client's connection, and after a 101 a tunnel.
 * The socket's `data` is who has it at present.
 */
import type { ConnectionLimits } from "../../seam/engine.ts";
import { giveBackLarge } from "../../net/spent.ts";
import { strayError } from "../../net/stray-error.ts";

/** What has a socket of a listener. */
export interface Accepted {
  /** The bytes' memory is the socket's: what is kept of them is a copy. */
  said(bytes: Buffer): void;
  drained(): void;
  ended(): void;
  gone(broken: boolean): void;
}

/** Handlers that tell a socket's owner. */
export const HANDLERS: Bun.SocketHandler<Accepted> = {
  data({ data: owner }, bytes) {
    owner.said(bytes);
    giveBackLarge(bytes);
  },
  drain: ({ data: owner }) => owner.drained(),
  end: ({ data: owner }) => owner.ended(),
  close: ({ data: owner }, error) => owner.gone(error !== undefined && error !== null),
  error: strayError,
};

/** An open connection, as its listener sees it. */
export interface Open {
  /** RST. */
  terminate(): void;
  /** The listener closes: what is idle goes now, what is under way after its answer. */
  leave(): void;
}

/** What the connections of a listener share. */
export interface Listening {
  readonly limits: ConnectionLimits;
  readonly open: Set<Open>;
  /** A connection is gone. */
  gone(): void;
}
