/**
 * What is told of connections for which there was no room: figures, and in the log one line when it begins and one when it is
 * over. A flood would write a line with each connection otherwise.
 */
import { Failure } from "../failure.ts";
import type { Log } from "../runtime/log.ts";

/** What has no room for one connection more. */
export type Full = "worker" | "address" | "circuit" | "session" | "user";

/** Without a connection that was refused or closed for so long it is over. Milliseconds. */
const OVER_MS = 30_000;

export class Crowding {
  /** Connections and requests that were refused, by what was full. */
  readonly refused: Record<Full, number> = { worker: 0, address: 0, circuit: 0, session: 0, user: 0 };
  /** Idle connections that were closed to make room: clients', and those to apps that were kept for later. */
  readonly closed = { client: 0, app: 0 };
  readonly #log: Log;
  readonly #overMs: number;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** The figures when it began. */
  #before = { refused: 0, closed: 0 };

  constructor(log: Log, overMs = OVER_MS) {
    this.#log = log;
    this.#overMs = overMs;
  }

  /** One was refused. `about` is for the log, of the first one. */
  refuse(full: Full, about: Record<string, unknown>): void {
    this.#happens({ ...about, full, refused: true });
    this.refused[full]++;
  }

  /** An idle client was closed, so that another one has room. */
  closeIdle(about: Record<string, unknown>): void {
    this.#happens({ ...about, refused: false });
    this.closed.client++;
  }

  /** Nothing is told any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  // --- internal ---

  #happens(about: Record<string, unknown>): void {
    // Refreshing takes 50 ns: no clock has to be read for each.
    if (this.#timer !== null) return void this.#timer.refresh();
    this.#before = this.#all();
    this.#log.warn(about, "no room for connections: idle ones are closed, or new ones refused");
    this.#timer = setTimeout(() => this.#over(), this.#overMs);
    this.#timer.unref();
  }

  #over(): void {
    this.#timer = null;
    const { refused, closed } = this.#all();
    const since = { refused: refused - this.#before.refused, closed: closed - this.#before.closed };
    this.#log.info(since, "there is room for connections again");
  }

  #all(): { refused: number; closed: number } {
    const refused = Object.values(this.refused).reduce((sum, count) => sum + count);
    return { refused, closed: this.closed.client };
  }
}

/** The failure for who was refused. */
export function crowdedFailure(full: Full): Failure {
  return new Failure("appproxy/too-many-connections", FULL[full]);
}

// --- internal ---

const FULL: Record<Full, { msg: string; status?: number }> = {
  // RFC 9110 §15.6.4: not the client's doing.
  worker: { msg: "This worker has no room for more connections; try again", status: 503 },
  address: { msg: "Your address has too many connections; close some, or try again" },
  circuit: { msg: "This app has too many connections; close some, or try again" },
  session: { msg: "The apps of this session have too many connections; close some, or try again" },
  user: { msg: "The apps of this user have too many connections; close some, or try again" },
};
