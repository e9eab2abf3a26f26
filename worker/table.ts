/**
 * The worker's routing table: circuits by id, by port and by subdomain. Keyed by circuit id, so that a late removal
 * of one circuit never touches another on the same slot. Holds what is costly to compute once per circuit.
 */
import { addressMatcher, type AddressMatcher } from "../shared/addresses.ts";
import type { Circuit } from "../shared/schema/circuit.ts";

/** A circuit with what the hot path needs of it. */
export interface Entry {
  circuit: Circuit;
  /** Who may connect; null lets everyone. */
  allowed: AddressMatcher | null;
  /** Turns of the route rotation. */
  turn: number;
}

export class Table {
  readonly #byId = new Map<string, Entry>();
  readonly #byPort = new Map<number, Entry>();
  readonly #bySubdomain = new Map<string, Entry>();

  get size(): number {
    return this.#byId.size;
  }

  byId(id: string): Entry | undefined {
    return this.#byId.get(id);
  }

  byPort(port: number): Entry | undefined {
    return this.#byPort.get(port);
  }

  bySubdomain(subdomain: string): Entry | undefined {
    return this.#bySubdomain.get(subdomain);
  }

  all(): Entry[] {
    return [...this.#byId.values()];
  }

  /** Adds a circuit or takes its new state. Gives the circuit that held the slot and has to go, if another did. */
  put(circuit: Circuit): Circuit | null {
    const known = this.#byId.get(circuit.id);
    const holder = this.#holder(circuit);
    if (known !== undefined) this.#unslot(known);
    if (holder !== undefined && holder.circuit.id !== circuit.id) this.remove(holder.circuit.id);
    const entry = known ?? { circuit, allowed: null, turn: 0 };
    entry.circuit = circuit;
    entry.allowed =
      (circuit.allowed_client_ips ?? "").trim() === "" ? null : addressMatcher(circuit.allowed_client_ips ?? "");
    this.#byId.set(circuit.id, entry);
    if (circuit.port !== null) this.#byPort.set(circuit.port, entry);
    if (circuit.subdomain !== null) this.#bySubdomain.set(circuit.subdomain.toLowerCase(), entry);
    return holder !== undefined && holder.circuit.id !== circuit.id ? holder.circuit : null;
  }

  /** Forgets a circuit by id. Gives it when it was known. */
  remove(id: string): Circuit | null {
    const entry = this.#byId.get(id);
    if (entry === undefined) return null;
    this.#byId.delete(id);
    this.#unslot(entry);
    return entry.circuit;
  }

  // --- internal ---

  #holder({ port, subdomain }: Circuit): Entry | undefined {
    if (port !== null) return this.#byPort.get(port);
    return subdomain === null ? undefined : this.#bySubdomain.get(subdomain.toLowerCase());
  }

  #unslot(entry: Entry): void {
    const { port, subdomain } = entry.circuit;
    if (port !== null && this.#byPort.get(port) === entry) this.#byPort.delete(port);
    const name = subdomain?.toLowerCase();
    if (name !== undefined && this.#bySubdomain.get(name) === entry) this.#bySubdomain.delete(name);
  }
}
