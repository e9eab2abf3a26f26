/** Which worker and which slot a new circuit gets. Runs inside the transaction that takes the slot. */
import { Failure } from "../../shared/failure.ts";
import { standsUnder } from "../../shared/http/host.ts";
import type { FrontendMode } from "../../shared/protocol/schema/circuit.ts";
import { isSetAside, oldestFreePort, ripestPort, setAside } from "../store/occupants.ts";
import { isFreePort, subdomainTaken } from "../store/circuits.ts";
import { generatedLabel, toLabel, variantOf } from "./subdomain.ts";
import type { Tx } from "../store/store.ts";
import { place, type PlacementRequest } from "./placement.ts";
import { blockedAt } from "../store/blocked-ports.ts";
import * as workers from "../store/workers.ts";

export interface SlotRequest extends Omit<PlacementRequest, "portIsFree" | "usable"> {
  /** Whose circuit it is: some slots are kept from others. */
  userId: string | null;
  subdomain: string | null;
  /** The subdomain is a label that was in use before, hyphens and all. */
  isLabel?: boolean;
}

/** What of a request counts when its worker is chosen. */
export type At = Pick<SlotRequest, "port" | "subdomain" | "isLabel" | "userId">;

export interface ChosenSlot {
  workerId: string;
  authority: string;
  frontendMode: FrontendMode;
  port: number | null;
  subdomain: string | null;
}

/** For one transaction: the workers are read once, and what is chosen counts for the next choice. */
export class SlotChooser {
  readonly #tx: Tx;
  readonly #newId: () => string;
  readonly #now: number;
  #known: workers.LivingWorker[] | null = null;

  constructor(tx: Tx, newId: () => string) {
    this.#tx = tx;
    this.#newId = newId;
    this.#now = tx.cause.now;
  }

  /** The living workers. */
  get candidates(): readonly workers.LivingWorker[] {
    return (this.#known ??= workers.candidates(this.#tx, this.#now));
  }

  /** Throws worker-not-available or port-not-available. The slot has to be taken before the next choice. */
  choose(wish: SlotRequest): ChosenSlot {
    const worker = this.#place(wish);
    return this.chooseAt(worker, wish);
  }

  /** A slot of this worker. Throws as `choose`. */
  chooseAt(worker: workers.LivingWorker, wish: At): ChosenSlot {
    const base = { workerId: worker.id, authority: worker.authority, frontendMode: worker.frontendMode };
    const slot =
      worker.frontendMode === "wildcard"
        ? { ...base, port: null, subdomain: this.#subdomain(worker, wish) }
        : { ...base, port: this.#port(worker, wish), subdomain: null };
    worker.occupied++;
    worker.available--;
    return slot;
  }

  /** Ports that are kept from this person come last, and those of any worker after all others of all workers. */
  #place(wish: SlotRequest): workers.LivingWorker {
    const kept = setAside(this.#tx, wish.userId, this.#now);
    const among = (isLastResort: boolean) =>
      place(this.candidates, {
        ...wish,
        portIsFree: (workerId) => this.#isOpen(workerId, wish.port ?? 0, wish.userId),
        usable: ({ id, available }) =>
          available - (kept.get(id)?.kept ?? 0) + (isLastResort ? (kept.get(id)?.ripe ?? 0) : 0),
      });
    if (kept.size === 0) return among(false);
    try {
      return among(false);
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== "appproxy/worker-not-available") throw error;
      return among(true);
    }
  }

  #isOpen(workerId: string, port: number, userId: string | null): boolean {
    return (
      isFreePort(this.#tx, workerId, port) &&
      !isSetAside(this.#tx, { workerId, port, subdomain: null }, userId) &&
      !this.#isClosed(workerId, port)
    );
  }

  /** True when no node of the worker can open the port. */
  #isClosed(workerId: string, port: number): boolean {
    return blockedAt(this.#tx, workerId, port, this.#now).wholly !== null;
  }

  #subdomain(worker: workers.LivingWorker, { subdomain: wanted, isLabel, userId }: At): string {
    const hex = () => this.#newId().replaceAll("-", "").slice(0, 8);
    const wish = isLabel === true ? wanted : toLabel(wanted);
    // Not every label can stand under every domain. One of which nothing is left gets another name, too.
    const label = wish !== null && standsUnder(wish, worker.wildcardDomain ?? "") ? wish : null;
    let name = label ?? generatedLabel(hex);
    const isOthers = () =>
      subdomainTaken(this.#tx, worker.id, name) ||
      isSetAside(this.#tx, { workerId: worker.id, port: null, subdomain: name }, userId);
    while (isOthers()) name = label === null ? generatedLabel(hex) : variantOf(label, hex);
    return name;
  }

  #port(worker: workers.LivingWorker, { port: wanted, userId }: At): number {
    if (wanted !== null) {
      // First: a circuit that was refused there still holds it.
      if (this.#isClosed(worker.id, wanted))
        throw new Failure(
          "appproxy/port-not-available",
          `port: ${wanted} can't be opened by ${worker.authority}: another process on its machine has it`,
        );
      if (this.#isOpen(worker.id, wanted, userId)) return wanted;
      throw new Failure("appproxy/port-not-available", `port: ${wanted} is already occupied by another circuit`);
    }
    const port =
      oldestFreePort(this.#tx, worker.id, userId, this.#now) ?? ripestPort(this.#tx, worker.id, userId, this.#now);
    if (port === undefined)
      throw new Failure("appproxy/worker-not-available", "All ports of the fitting workers are taken");
    return port;
  }
}
