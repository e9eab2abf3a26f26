/** Which worker and which slot a new circuit gets. Runs inside the transaction that takes the slot. */
import { Failure } from "../shared/failure.ts";
import type { FrontendMode } from "../shared/schema/circuit.ts";
import { isFreePort, oldestFreePort, subdomainTaken } from "./circuits/store.ts";
import { generatedLabel, toLabel, variantOf } from "./circuits/subdomain.ts";
import type { Db } from "./db/open.ts";
import { place, type Candidate, type Wish } from "./placement.ts";
import * as workers from "./workers/store.ts";

export interface SlotWish extends Omit<Wish, "portIsFree"> {
  subdomain: string | null;
  /** The subdomain is a label that was in use before, hyphens and all. */
  isLabel?: boolean;
}

export interface ChosenSlot {
  workerId: string;
  authority: string;
  frontendMode: FrontendMode;
  port: number | null;
  subdomain: string | null;
}

/** For one transaction: the workers are read once, and what is chosen counts for the next choice. */
export class SlotChooser {
  readonly #tx: Db;
  readonly #newId: () => string;
  #known: workers.LivingWorker[] | null = null;

  constructor(tx: Db, newId: () => string) {
    this.#tx = tx;
    this.#newId = newId;
  }

  /** The living workers. */
  get candidates(): readonly workers.LivingWorker[] {
    return (this.#known ??= workers.candidates(this.#tx));
  }

  /** Throws worker-not-available or port-not-available. The slot has to be taken before the next choice. */
  choose(wish: SlotWish): ChosenSlot {
    const worker = place(this.candidates, {
      ...wish,
      portIsFree: (workerId) => isFreePort(this.#tx, workerId, wish.port ?? 0),
    });
    return this.chooseAt(worker, wish);
  }

  /** A slot of this worker. Throws as `choose`. */
  chooseAt(worker: Candidate, wish: Pick<SlotWish, "port" | "subdomain" | "isLabel">): ChosenSlot {
    const base = { workerId: worker.id, authority: worker.authority, frontendMode: worker.frontendMode };
    const slot =
      worker.frontendMode === "wildcard"
        ? { ...base, port: null, subdomain: this.#subdomain(worker, wish) }
        : { ...base, port: this.#port(worker, wish.port), subdomain: null };
    worker.occupied++;
    worker.available--;
    return slot;
  }

  #subdomain(worker: Candidate, { subdomain: wanted, isLabel }: Pick<SlotWish, "subdomain" | "isLabel">): string {
    const hex = () => this.#newId().replaceAll("-", "").slice(0, 8);
    const label = isLabel === true ? wanted : toLabel(wanted);
    let name = label ?? generatedLabel(hex);
    while (subdomainTaken(this.#tx, worker.id, name))
      name = label === null ? generatedLabel(hex) : variantOf(label, hex);
    return name;
  }

  #port(worker: Candidate, wanted: number | null): number {
    if (wanted !== null) {
      if (isFreePort(this.#tx, worker.id, wanted)) return wanted;
      throw new Failure("appproxy/port-not-available", `port: ${wanted} is already occupied by another circuit`);
    }
    const port = oldestFreePort(this.#tx, worker.id);
    if (port === undefined)
      throw new Failure("appproxy/worker-not-available", "All ports of the fitting workers are taken");
    return port;
  }
}
