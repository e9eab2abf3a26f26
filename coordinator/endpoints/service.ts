/**
 * Model services: each has one circuit, made or brought up to date by the same call, for one or for a thousand at once.
 * What is decided from the database is decided in one transaction a call, and told in one publication.
 */
import { Failure, notFound } from "../../shared/failure.ts";
import type { EndpointRequest } from "../../shared/protocol/schema/endpoint.ts";
import { healthCheckOf, type HealthCheckSpec } from "../../shared/protocol/schema/health-check.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import { fits, mustFind, notResponding, type Confirmations, type Found } from "../delivery/confirm.ts";
import { circuitOfEndpoint } from "../store/circuit-queries.ts";
import { createCircuit, type Purpose } from "../circuits/create.ts";
import { mustLeave } from "../circuits/refusals.ts";
import * as circuits from "../store/circuits.ts";
import type { Caller, Query, Tx } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import type { Commit } from "../delivery/commit.ts";
import type { Observation } from "../observation.ts";
import { SlotChooser, type ChosenSlot } from "../placement/slot.ts";
import { blockedAt } from "../store/blocked-ports.ts";
import type { Validated } from "./items.ts";
import { chooseSlot, chooseSlotOrNull } from "./choose-slot.ts";
import { planEndpoint, type Facts, type Stay } from "./plan.ts";
import { createFollower, type FoundEndpoint, type Outcome, type Synced } from "./served.ts";

export interface EndpointService {
  /** Makes each endpoint's circuit, or brings it up to date. Gives the outcomes in order; nothing is left of a failed one. */
  sync(items: readonly Validated<EndpointRequest>[], by: Caller): Promise<Outcome<Synced>[]>;
  /** Removes endpoints with their circuits; those that are gone already are as good as removed. */
  remove(ids: readonly string[], by: Caller): Promise<void>;
  /** Rejects with object-not-found. */
  setHealthCheck(id: string, wish: HealthCheckSpec | null, by: Caller): Promise<void>;
}

interface Services {
  commit: Commit;
  acknowledgements: Pick<Acknowledgements, "has" | "everServed">;
  confirmations: Confirmations;
  /** Nobody could be heard of before. */
  observation: Pick<Observation, "since">;
}

interface Entry {
  id: string;
  item: EndpointRequest;
  /** It was done already, and another request has changed it since. */
  again?: boolean;
}

export function createEndpointService(deps: Deps, services: Services): EndpointService {
  const { config, newId } = deps;
  const { commit, acknowledgements, confirmations, observation } = services;
  const { circuit_ack_timeout: ackTimeout, endpoint_relocation_timeout: relocation } = config.proxy_coordinator;

  const followed = createFollower(deps, services, (tx, one) =>
    circuitOfEndpoint(tx, one.id) === undefined
      ? null
      : tryOne(tx, new SlotChooser(tx, newId), { ...one, again: true }),
  );

  async function sync(items: readonly Validated<EndpointRequest>[], by: Caller): Promise<Outcome<Synced>[]> {
    const end = performance.now() + ackTimeout * 1000;
    const { result: found } = await commit(by, (tx) => {
      const chooser = new SlotChooser(tx, newId);
      return items.map((one) => ("item" in one ? tryOne(tx, chooser, one) : refused(tx, one)));
    });
    return Promise.all(items.map((one, at) => followed(one, found[at] ?? notResponding(), { by, end })));
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

  return {
    sync,
    async remove(ids, by) {
      await commit(by, (tx) => {
        const rows = [...new Set(ids)].map((id) => circuitOfEndpoint(tx, id)).filter((row) => row !== undefined);
        for (const row of rows) circuits.removeCircuit(tx, row, "endpoint-removed");
      });
    },
    async setHealthCheck(id, wish, by) {
      const { result: changed } = await commit(by, (tx) => {
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

/** An entry that can't be read: its endpoint stays as it is, and is told of. */
function refused(q: Query, { id, failure }: { id: string; failure: Failure }): Outcome<FoundEndpoint> {
  const row = circuitOfEndpoint(q, id);
  if (row === undefined) return failure;
  return { ...foundAt(q, row, "as before"), failure };
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
