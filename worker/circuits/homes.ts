/**
 * Where the people of a circuit open apps, for the pages that send them back there. The coordinator's `home_url` comes with
 * every heartbeat, and the worker's own key stands in where the coordinator is the original's. Without either it is the
 * origin from which the circuit was last opened: the coordinator signs it into the setup token, so it is what the holder of a
 * platform's token came from. It counts for that circuit alone, and for its slot until another circuit has it: nobody can
 * put a link into other people's pages.
 */
import { homeUrl } from "../../shared/http/home.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";

type Slot = Pick<Circuit, "id" | "port" | "subdomain">;

export class Homes {
  readonly #own: string | null;
  #told: string | null = null;
  /** By slot, the newest last. */
  readonly #opened = new Map<string, { circuit: string; home: string }>();

  /** `own`: the worker's key. */
  constructor(own: string | null) {
    this.#own = own;
  }

  /** What the coordinator says; undefined from one that knows no such thing. */
  told(home: string | null | undefined): void {
    this.#told = homeUrl(home ?? "") ?? null;
  }

  /** A circuit was opened from this origin. */
  opened(circuit: Slot, home: string): void {
    const slot = slotOf(circuit);
    this.#opened.delete(slot);
    this.#opened.set(slot, { circuit: circuit.id, home });
    const [oldest] = this.#opened.size > MAX_OPENED ? this.#opened.keys() : [];
    if (oldest !== undefined) this.#opened.delete(oldest);
  }

  /** For a page at a slot (a port or a name), which carries this circuit or none. */
  of(slot: number | string | null, circuit: string | undefined): string | null {
    const set = this.#told ?? this.#own;
    if (set !== null || slot === null) return set;
    const opened = this.#opened.get(String(slot));
    return opened === undefined || (circuit !== undefined && opened.circuit !== circuit) ? null : opened.home;
  }
}

// --- internal ---

/** A worker has as many circuits at a time. About 200 bytes each. */
const MAX_OPENED = 10_000;

function slotOf({ port, subdomain }: Slot): string {
  return subdomain?.toLowerCase() ?? String(port);
}
