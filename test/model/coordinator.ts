/** A coordinator as a worker's node sees it, written on paper: every state of its circuits is kept, and all can be told. */
import { digestOf } from "../../shared/protocol/digest.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import type { Revision } from "../../shared/protocol/revision.ts";
import { circuit, route } from "../support/values.ts";

export const AUTHORITY = "model";

export class ModelCoordinator {
  epoch = 1;
  /** By revision, the newest last; the first is of `oldest`. */
  states: Circuit[][] = [[]];
  oldest = 0;
  /** Changes before this revision are not recorded any more. */
  recorded = 0;

  get now(): Circuit[] {
    return this.states.at(-1) ?? [];
  }

  get revision(): number {
    return this.oldest + this.states.length - 1;
  }

  /** Nothing when the circuit is there or the port is taken. */
  create(id: string, port: number): AppProxyEvent[] {
    if (this.now.some((one) => one.id === id || one.port === port)) return [];
    return [this.#put(circuit({ id, port }), "appproxy_circuit_created_event")];
  }

  reroute(id: string, kernel_port: number): AppProxyEvent[] {
    const known = this.now.find((one) => one.id === id);
    if (known === undefined) return [];
    return [this.#put({ ...known, route_info: [route({ kernel_port })] }, "appproxy_circuit_route_updated_event")];
  }

  /** To another port of this worker: removed and created. */
  move(id: string, port: number): AppProxyEvent[] {
    const known = this.now.find((one) => one.id === id);
    if (known === undefined || this.now.some((one) => one.port === port)) return [];
    return [...this.remove([id]), this.#put({ ...known, port }, "appproxy_circuit_created_event")];
  }

  /** All in one event. */
  remove(ids: readonly string[]): AppProxyEvent[] {
    const gone = this.now.filter(({ id }) => ids.includes(id));
    const first = this.revision + 1;
    for (const { id } of gone) this.states.push(this.now.filter((one) => one.id !== id));
    if (gone.length === 0) return [];
    const payload = { ...this.#where(), circuits: gone, ...(gone.length > 1 ? { first_revision: first } : {}) };
    return [{ name: "appproxy_circuit_removed_event", source: "appproxy-coordinator", payload, requestId: null }];
  }

  /** The changes so far are dropped. */
  forget(): void {
    this.recorded = this.revision;
  }

  /** Another database, filled from a state that this one once had. */
  replace(back: number): void {
    const at = Math.max(0, this.states.length - 1 - back);
    this.oldest += at;
    this.states = [this.states[at] ?? []];
    this.recorded = this.oldest;
    this.epoch++;
  }

  /** What it answers to a node that has this. */
  answer(have: Revision | null): WorkerCircuits {
    const { revision, now: circuits } = this;
    const state = { revision, epoch: String(this.epoch), digest: digestOf(circuits) };
    const isTold =
      have !== null && have.epoch === state.epoch && have.number >= this.recorded && have.number <= revision;
    if (!isTold) return { circuits, ...state };
    const { number: since } = have;
    const were = this.states.slice(since - this.oldest).flatMap((one) => one.map(({ id }) => id));
    const removed = [...new Set(were)].filter((id) => !circuits.some((one) => one.id === id));
    return { circuits: circuits.filter((one) => (one.revision ?? 0) > since), removed, since, ...state };
  }

  // --- internal ---

  #where() {
    return { target_worker_authority: AUTHORITY, revision: this.revision, epoch: String(this.epoch) };
  }

  #put(fresh: Circuit, name: "appproxy_circuit_created_event" | "appproxy_circuit_route_updated_event"): AppProxyEvent {
    const made = { ...fresh, revision: this.revision + 1 };
    this.states.push([...this.now.filter(({ id }) => id !== made.id), made]);
    const common = { source: "appproxy-coordinator" as const, requestId: null };
    if (name === "appproxy_circuit_created_event")
      return { ...common, name, payload: { ...this.#where(), circuits: [made] } };
    return { ...common, name, payload: { ...this.#where(), circuit: made, routes: made.route_info } };
  }
}
