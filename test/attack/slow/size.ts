/** How much of everything, in the short form and in the long one; and the limits of the worker that is attacked. */

export interface Size {
  /** Of slowhttptest, each way. */
  connections: number;
  idle: number;
  /** Of each kind. */
  drips: number;
  stalled: number;
  /** How long each of them goes on. */
  seconds: number;
  /** Between two bytes of a drip. Milliseconds. */
  paceMs: number;
  limits: { head_timeout: number; idle_timeout: number; body_timeout: number; reader_timeout: number; address_connections: number }; // prettier-ignore
}

export const SIZES = {
  /** All at once. */
  short: {
    connections: 75,
    idle: 400,
    drips: 10,
    stalled: 20,
    seconds: 5,
    paceMs: 200,
    limits: { head_timeout: 2, idle_timeout: 2, body_timeout: 2, reader_timeout: 2, address_connections: 320 },
  },
  /** One after the other. An address has its usual limit (0). */
  full: {
    connections: 1000,
    idle: 4000,
    drips: 50,
    stalled: 200,
    seconds: 30,
    paceMs: 1000,
    limits: { head_timeout: 10, idle_timeout: 20, body_timeout: 10, reader_timeout: 10, address_connections: 0 },
  },
} satisfies Record<string, Size>;

/** What an address may have where the configuration does not say. */
export const ADDRESS_LIMIT = 1000;
