/**
 * Model services: each has one circuit, made or brought up to date by the same call, for one or for a thousand at once.
 * What is decided from the database is decided in one transaction a call, and told in one publication.
 */
import { Failure, notFound } from "../../shared/failure.ts";
import type { EndpointRequest } from "../../shared/protocol/schema/endpoint.ts";
import { healthCheckOf, type HealthCheckSpec } from "../../shared/protocol/schema/health-check.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import { fits, mustFind, notResponding, type Found, type Confirmations } from "../delivery/confirm.ts";
import { circuitOfEndpoint, getCircuit } from "../store/circuit-queries.ts";
import { createCircuit, type Purpose } from "../circuits/create.ts";
import { mustLeave } from "../circuits/refusals.ts";
import * as circuits from "../store/circuits.ts";
import type { Query, Tx } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import type { Commit } from "../delivery/commit.ts";
import type { Observation } from "../observation.ts";
import { SlotChooser, type ChosenSlot } from "../placement/slot.ts";
import { blockedAt } from "../store/blocked-ports.ts";
import type { Validated } from "./items.ts";
import { chooseSlot, chooseSlotOrNull } from "./choose-slot.ts";
import { planEndpoint, type Facts, type Stay } from "./plan.ts";
import { endpointUrl } from "./url.ts";

export interface Synced {
  url: string;
  healthCheckEnabled: boolean;
  /** Set where the endpoint is there and something is wrong all the same. */
  failure?: Failure | undefined;
}

/** What became of an entry. */
export type Outcome<T> = T | Failure;

export interface EndpointService {
  /** Makes each endpoint's circuit, or brings it up to date. Gives the outcomes in order; nothing is left of a failed one. */
  sync(items: readonly Validated<EndpointRequest>[], requestId: string | null): Promise<Outcome<Synced>[]>;
  /** Removes endpoints with their circuits; those that are gone already are as good as removed. */
  remove(ids: readonly string[], requestId: string | null): Promise<void>;
  /** Rejects with object-not-found. */
  setHealthCheck(id: string, wish: HealthCheckSpec | null, requestId: string | null): Promise<void>;
}

interface Services {
  commit: Commit;
  acknowledgements: Pick<Acknowledgements, "has" | "everServed">;
  confirmations: Confirmations;
  /** Nobody could be heard of before. */
  observation: Pick<Observation, "since">;
}

const AGAIN_MS = 20;

interface FoundEndpoint extends Found {
  /** Its worker is away for a while and may come back: there is nobody to wait for. */
  absent: boolean;
  /** It can't work where it is, nor be anywhere else. */
  failure?: Failure;
}

interface Entry {
  id: string;
  item: EndpointRequest;
  /** It was done already, and another request has changed it since. */
  again?: boolean;
}

export function createEndpointService(
  { config, database, newId, log }: Deps,
  { commit, acknowledgements, confirmations, observation }: Services,
): EndpointService {
  const { circuit_ack_timeout: ackTimeout, endpoint_relocation_timeout: relocation } = config.proxy_coordinator;

  async function sync(
    items: readonly Validated<EndpointRequest>[],
    requestId: string | null,
  ): Promise<Outcome<Synced>[]> {
    const end = performance.now() + ackTimeout * 1000;
    const { result: found } = await commit(requestId, (tx) => {
      const chooser = new SlotChooser(tx, newId);
      return items.map((one) => ("item" in one ? tryOne(tx, chooser, one) : refused(tx, one)));
    });
    return Promise.all(items.map((one, at) => follow(one, found[at], requestId, end)));
  }

  /** Nothing is written for one that fails, so that the others go on. */
  function tryOne(tx: Tx, chooser: SlotChooser, entry: Entry): Outcome<FoundEndpoint> {
    try {
      return findOrCreate(tx, chooser, entry);
    } catch (error) {
      if (error instanceof Failure) return error;
      throw error;
    }
  }

  /** Waits until it is served. What another request changes meanwhile is looked up anew, as in apps/service.ts. */
  async function follow(
    one: Validated<EndpointRequest>,
    first: Outcome<FoundEndpoint> | undefined,
    requestId: string | null,
    end: number,
  ): Promise<Outcome<Synced>> {
    for (let found: Outcome<FoundEndpoint> = first ?? notResponding(); ;) {
      const outcome = await settle(found, requestId);
      if (outcome !== "superseded" && outcome !== "refused") return outcome;
      if ("failure" in one) return one.failure;
      // Events and other requests have their turn before the next try, and the other nodes of a worker of which one refuses.
      await Bun.sleep(outcome === "refused" ? AGAIN_MS : 0);
      const { result: next } = await commit(requestId, (tx) =>
        circuitOfEndpoint(tx, one.id) === undefined
          ? null
          : tryOne(tx, new SlotChooser(tx, newId), { ...one, again: true }),
      );
      // Its worker can't serve it, and there is no other place: nothing is left of it.
      if (next instanceof Failure && !(found instanceof Failure)) await confirmations.takeBack(found.row, requestId);
      // Whoever deletes has the last word: it was there, and is not made again.
      if (next === null) return found instanceof Failure ? found : answerOf(found);
      found = next;
      if (performance.now() <= end || isServed(found)) continue;
      if (outcome === "refused" && !(found instanceof Failure)) await confirmations.takeBack(found.row, requestId);
      return notResponding();
    }
  }

  function isServed(found: Outcome<FoundEndpoint>): boolean {
    return found instanceof Failure || isSettled(found) || acknowledgements.has(found.row);
  }

  function findOrCreate(tx: Tx, chooser: SlotChooser, { id, item, again }: Entry): FoundEndpoint {
    const row = circuitOfEndpoint(tx, id);
    const plan = planEndpoint(row === undefined ? null : factsOf(tx, row, item, again === true));
    switch (plan.kind) {
      case "create": {
        const made = createCircuit(tx, newId(), purposeOf(id, item), chooseSlot(chooser, id, item));
        return { ...foundAt(tx, made, "new"), reuse: false };
      }
      case "stay":
        return stay(tx, plan);
      case "move":
        return moveTo(tx, plan.facts, chooseSlot(chooser, id, item));
      case "move if possible": {
        const slot = chooseSlotOrNull(chooser, plan.facts.row, item);
        return slot === null ? stay(tx, plan.otherwise) : moveTo(tx, plan.facts, slot);
      }
    }
  }

  function factsOf(tx: Tx, row: circuits.CircuitRow, item: EndpointRequest, again: boolean): Facts {
    const worker = mustFind(tx, row.workerId);
    const { now } = tx.cause;
    const isAlive = worker.status === "ALIVE";
    const isGone = now - Math.max(worker.lastSeenAt, observation.since()) > relocation * 1000;
    const everServed = acknowledgements.everServed(row);
    // A URL that clients have is worth more than a port that is another process's for a while.
    const isRefused = isAlive && mustLeave(tx, row, everServed, now) && (!everServed || isLong(tx, row, now));
    return {
      row,
      worker: isAlive ? "alive" : isGone ? "gone" : "away",
      slot: isRefused ? "refused" : fits(row, worker) ? "its own" : "lost",
      everServed,
      again,
      change: changeOf(row, item),
      isOriginal: worker.isOriginal,
    };
  }

  function stay(tx: Tx, { row, change, state, absent, misplaced }: Stay): FoundEndpoint {
    const current = change === null ? row : circuits.updateCircuit(tx, row, change);
    return { ...foundAt(tx, current, state), absent, ...(misplaced ? { failure: lostItsSlot() } : {}) };
  }

  function moveTo(tx: Tx, { row, change, everServed }: Facts, slot: ChosenSlot): FoundEndpoint {
    const current = change === null ? row : circuits.updateCircuit(tx, row, change);
    return foundAt(tx, circuits.moveCircuit(tx, current, slot, everServed), "new");
  }

  /** Whether no node has been able to open its port for as long as a worker may be away. */
  function isLong(q: Query, { workerId, port }: circuits.CircuitRow, at: number): boolean {
    const { wholly } = blockedAt(q, workerId, port ?? 0, at);
    return wholly !== null && at - wholly > relocation * 1000;
  }

  async function settle(
    found: Outcome<FoundEndpoint>,
    requestId: string | null,
  ): Promise<Outcome<Synced> | "superseded" | "refused"> {
    if (found instanceof Failure) return found;
    const { row, worker, reuse, failure } = found;
    const outcome = isSettled(found) ? "served" : await confirmations.wait(found, requestId);
    if (outcome === "superseded" || outcome === "refused") return outcome;
    const isLate = outcome === "late";
    if (isLate && (await database.read((q) => getCircuit(q, row.id))) === undefined) return notResponding();
    const about = { circuit: row.id, worker: worker.authority, origin_request_id: row.originRequestId };
    if (!reuse) log.info({ ...about, endpoint: row.endpointId, app: row.app }, "endpoint created");
    // Late, and not taken back because it has served: it is there.
    const fault = isLate ? notResponding() : failure;
    return { ...answerOf(found), failure: fault };
  }

  return {
    sync,
    async remove(ids, requestId) {
      await commit(requestId, (tx) => {
        const rows = [...new Set(ids)].map((id) => circuitOfEndpoint(tx, id)).filter((row) => row !== undefined);
        for (const row of rows) circuits.removeCircuit(tx, row, "endpoint-removed");
      });
    },
    async setHealthCheck(id, wish, requestId) {
      const { result: changed } = await commit(requestId, (tx) => {
        const row = circuitOfEndpoint(tx, id);
        if (row === undefined) throw notFound("circuit");
        const healthCheck = healthCheckOf(wish);
        if (same(row.healthCheck, healthCheck)) return [];
        return [circuits.updateCircuit(tx, row, { healthCheck })];
      });
      await confirmations.applied(changed);
    },
  };
}

// --- internal ---

function foundAt(q: Query, row: circuits.CircuitRow, state: Found["state"]): FoundEndpoint {
  return { row, worker: mustFind(q, row.workerId), reuse: true, state, absent: false };
}

/** It serves again when its worker is back, or not at all: there is nobody to wait for. */
function isSettled({ absent, failure }: FoundEndpoint): boolean {
  return absent || failure !== undefined;
}

/** An entry that can't be read: its endpoint stays as it is, and is told of. */
function refused(q: Query, { id, failure }: { id: string; failure: Failure }): Outcome<FoundEndpoint> {
  const row = circuitOfEndpoint(q, id);
  if (row === undefined) return failure;
  return { ...foundAt(q, row, "as before"), failure };
}

function answerOf({ row, worker }: FoundEndpoint): Synced {
  return { url: endpointUrl(row, worker), healthCheckEnabled: row.healthCheck !== null };
}

function lostItsSlot(): Failure {
  return new Failure(
    "appproxy/worker-not-available",
    "Its worker does not have its slot any more, and no other can take it",
  );
}

/** What a new circuit of a model service is to be. */
function purposeOf(id: string, item: EndpointRequest): Purpose {
  return {
    app: item.service_name,
    protocol: "http",
    appMode: "inference",
    openToPublic: item.open_to_public ?? false,
    userId: item.tags.session.user_uuid.toLowerCase(),
    endpointId: id,
    runtimeVariant: item.tags.endpoint.runtime_variant ?? null,
    healthCheck: healthCheckOf(item.health_check),
    routeInfo: [],
  };
}

/** What the Manager's newest word changes of a circuit; null for nothing. */
function changeOf(
  { openToPublic, runtimeVariant, healthCheck }: circuits.CircuitRow,
  item: EndpointRequest,
): Partial<circuits.Content> | null {
  const wanted = {
    openToPublic: item.open_to_public ?? false,
    runtimeVariant: item.tags.endpoint.runtime_variant ?? runtimeVariant,
    healthCheck: healthCheckOf(item.health_check),
  };
  return same(wanted, { openToPublic, runtimeVariant, healthCheck }) ? null : wanted;
}

/** Of plain values whose keys have one order. */
function same(one: unknown, other: unknown): boolean {
  return Bun.deepEquals(one, other);
}
