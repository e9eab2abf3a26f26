/**
 * The worker's routing table: circuits by id, by port and by subdomain. Keyed by circuit id, so that a late removal
 * of one circuit never touches another on the same slot. Holds what is costly to compute once per circuit, and ends
 * what runs over routes and circuits that are gone.
 */
import { addressMatcher, type AddressMatcher } from "../../shared/http/addresses.ts";
import { circuitHash, mix } from "../../shared/protocol/digest.ts";
import { readOrigins } from "../../shared/http/origins.ts";
import type { AppMode, Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { Targets } from "../net/targets.ts";
import { Holders, NOBODY as NO_HOLDERS } from "../upstreams/holders.ts";
import { RoutePool, type Upstream } from "../upstreams/pool.ts";
import type { RoutePolicy } from "../upstreams/policy.ts";
import type { Trouble } from "./trouble.ts";
import type { CircuitUsage, Usage } from "./usage.ts";

/** A circuit with what the hot path needs of it. */
export interface Entry {
  circuit: Circuit;
  /** Who may connect; null lets everyone. */
  allowed: AddressMatcher | null;
  /** Whose pages may call it with credentials, beside its own. */
  origins: ReadonlySet<string>;
  pool: RoutePool;
  /** Where its use is reported; null before it was used. Of this state of the circuit: ask `useOf`. */
  use: CircuitUsage | null;
  /** What is wrong with its app: ask `troubleOf` (trouble.ts). */
  trouble: Trouble | null;
}

/** Where the use of an entry's circuit is reported. */
export function useOf(entry: Entry, usage: Usage): CircuitUsage {
  if (entry.use?.circuit !== entry.circuit) entry.use = usage.of(entry.circuit);
  return entry.use;
}

const NOBODY: ReadonlySet<string> = new Set();

export interface TableSettings {
  policies: Record<AppMode, RoutePolicy>;
  /** Epoch milliseconds. */
  now: () => number;
  /** A number in [0, 1). */
  random: () => number;
  targets: Targets;
  /** A route is left out from now on. */
  out: (pool: RoutePool, upstream: Upstream) => void;
  /** An entry is new, has another state, or is gone: its pool has no upstreams then. */
  changed?: (entry: Entry) => void;
}

export class Table {
  readonly #byId = new Map<string, Entry>();
  readonly #byPort = new Map<number, Entry>();
  readonly #bySubdomain = new Map<string, Entry>();
  /** By the first digits of the id, as in the names of permits; seldom more than one. */
  readonly #byDigits = new Map<string, Entry[]>();
  readonly #holders = new Holders();
  readonly #settings: TableSettings;
  #digest = 0;

  constructor(settings: TableSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Of the circuits that are in it (shared/protocol/digest.ts). */
  get digest(): number {
    return this.#digest;
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

  ids(): string[] {
    return [...this.#byId.keys()];
  }

  all(): Entry[] {
    return [...this.#byId.values()];
  }

  /**
   * Which of these are the first eight digits of a circuit's id, and whether anything is open over one of those. A page's
   * hundred requests ask it together when their permit is renewed.
   */
  beginning(digits: ReadonlySet<string>): Map<string, boolean> {
    const found = new Map<string, boolean>();
    for (const first of digits) {
      const entries = this.#byDigits.get(first);
      if (entries !== undefined) found.set(first, entries.some(({ pool }) => pool.open > 0)); // prettier-ignore
    }
    return found;
  }

  /** Adds a circuit or takes its new state. Gives the circuit that held the slot and has to go, if another did. */
  put(circuit: Circuit): Circuit | null {
    const known = this.#byId.get(circuit.id);
    const holder = this.#holder(circuit);
    if (known !== undefined) this.#unslot(known);
    if (holder !== undefined && holder.circuit.id !== circuit.id) this.remove(holder.circuit.id);
    if (known !== undefined) this.#toggleInDigest(known.circuit);
    this.#toggleInDigest(circuit);
    const entry = known ?? this.#enter(circuit);
    entry.circuit = circuit;
    this.#hold(entry);
    this.#route(entry, known === undefined);
    entry.allowed = allowedOf(circuit);
    entry.origins = originsOf(circuit);
    if (circuit.port !== null) this.#byPort.set(circuit.port, entry);
    if (circuit.subdomain !== null) this.#bySubdomain.set(circuit.subdomain.toLowerCase(), entry);
    this.#settings.changed?.(entry);
    return holder !== undefined && holder.circuit.id !== circuit.id ? holder.circuit : null;
  }

  /** Forgets a circuit by id. Gives it when it was known. */
  remove(id: string): Circuit | null {
    const entry = this.#byId.get(id);
    if (entry === undefined) return null;
    this.#byId.delete(id);
    const left = (this.#byDigits.get(firstOf(entry.circuit)) ?? []).filter((one) => one !== entry);
    if (left.length === 0) this.#byDigits.delete(firstOf(entry.circuit));
    else this.#byDigits.set(firstOf(entry.circuit), left);
    this.#toggleInDigest(entry.circuit);
    this.#unslot(entry);
    const open = [...entry.pool.carried()];
    entry.pool.set([], 0);
    for (const carried of open) carried.close();
    this.#holders.give(entry.pool.holders);
    entry.pool.holders = NO_HOLDERS;
    this.#settings.changed?.(entry);
    return entry.circuit;
  }

  // --- internal ---

  #enter(circuit: Circuit): Entry {
    const pool = this.#newPool(circuit);
    const entry: Entry = { circuit, allowed: null, origins: NOBODY, pool, use: null, trouble: null };
    this.#byId.set(circuit.id, entry);
    this.#byDigits.set(firstOf(circuit), [...(this.#byDigits.get(firstOf(circuit)) ?? []), entry]);
    return entry;
  }

  /** The same puts a circuit in and takes it out. */
  #toggleInDigest(circuit: Circuit): void {
    this.#digest = mix(this.#digest, circuitHash(circuit));
  }

  #newPool({ app_mode: mode }: Circuit): RoutePool {
    const { policies, now, random, targets, out } = this.#settings;
    const pool: RoutePool = new RoutePool({
      policy: policies[mode],
      now,
      random,
      targets,
      out: (upstream) => out(pool, upstream),
    });
    return pool;
  }

  /** Whose it is, which may change; what is open stays with those for whom it was opened. */
  #hold({ circuit, pool }: Entry): void {
    const before = pool.holders;
    pool.holders = this.#holders.take(circuit);
    this.#holders.give(before);
  }

  /** Takes the circuit's routes. What runs over one that is gone ends with it, but inference requests finish. */
  #route({ circuit, pool }: Entry, isNew: boolean): void {
    const now = this.#settings.now();
    // A circuit may be older than this process; what joins it later is a new kernel.
    const since = isNew ? Math.min(now, Date.parse(circuit.created_at)) : now;
    const removed = pool.set(circuit.route_info, since);
    if (circuit.app_mode === "inference") return;
    for (const { carried } of removed) for (const one of carried) one.close();
  }

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

// --- internal ---

/** Null: everybody. */
function allowedOf({ allowed_client_ips: list }: Circuit): Entry["allowed"] {
  return list == null || list.trim() === "" ? null : addressMatcher(list);
}

function originsOf({ allowed_origins: list }: Circuit): Entry["origins"] {
  const { origins } = readOrigins(list ?? "");
  return origins.length === 0 ? NOBODY : new Set(origins);
}

function firstOf({ id }: Circuit): string {
  return id.slice(0, 8);
}
