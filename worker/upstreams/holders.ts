/**
 * Whose open requests and connections count together over several circuits: a person's, and a session's. A circuit that a person
 * has opened is theirs and its session's, whoever comes to it. A model service is nobody's here: its clients are not its owner,
 * the platform made it, and it has the limit of its circuit. Kept by the table, counted by attempts, asked by the core.
 */
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";

export type HolderKind = "user" | "session";

export class Holder {
  readonly kind: HolderKind;
  readonly id: string;
  /** Circuits of theirs. */
  circuits = 0;
  readonly #forget: () => void;
  #open = 0;

  constructor(kind: HolderKind, id: string, forget: () => void) {
    this.kind = kind;
    this.id = id;
    this.#forget = forget;
  }

  /** How much is open of them. */
  get open(): number {
    return this.#open;
  }

  enter(): void {
    this.#open++;
  }

  leave(): void {
    this.#open--;
    this.forgetUnused();
  }

  /** What is still open counts for the next circuit of theirs, too. */
  forgetUnused(): void {
    if (this.circuits === 0 && this.#open === 0) this.#forget();
  }
}

export class Holders {
  readonly #known = new Map<string, Holder>();

  get size(): number {
    return this.#known.size;
  }

  /** Whose a circuit is. `give` follows when it is not any more. */
  take({ app_mode: mode, user_id: user, route_info: routes }: Circuit): readonly Holder[] {
    if (mode !== "interactive") return NOBODY;
    const sessions = new Set(routes.map(({ session_id: session }) => session));
    const holders = [...sessions].map((session) => this.#holder("session", session));
    if (user !== null) holders.push(this.#holder("user", user));
    for (const holder of holders) holder.circuits++;
    return holders;
  }

  give(holders: readonly Holder[]): void {
    for (const holder of holders) {
      holder.circuits--;
      holder.forgetUnused();
    }
  }

  // --- internal ---

  #holder(kind: HolderKind, id: string): Holder {
    const key = `${kind} ${id}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const fresh = new Holder(kind, id, () => void this.#known.delete(key));
    this.#known.set(key, fresh);
    return fresh;
  }
}

export const NOBODY: readonly Holder[] = [];
