/**
 * Follows an endpoint after its commit until a worker serves it. It is committed by then, and so are the others of its call:
 * whatever fails here fails for this one alone. Called by service.ts, which decides what is committed.
 */
import { Failure, toFailure } from "../../shared/failure.ts";
import type { EndpointRequest } from "../../shared/protocol/schema/endpoint.ts";
import { callerLine, circuitLine } from "../delivery/circuit-line.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import type { Commit } from "../delivery/commit.ts";
import { notResponding, type Confirmations, type Found } from "../delivery/confirm.ts";
import type { Deps } from "../deps.ts";
import { getCircuit } from "../store/circuit-queries.ts";
import type { Caller, Tx } from "../store/store.ts";
import type { Validated } from "./items.ts";
import { endpointUrl } from "./url.ts";

export interface Synced {
  url: string;
  healthCheckEnabled: boolean;
  /** Set where the endpoint is there and something is wrong all the same. */
  failure?: Failure | undefined;
}

/** What became of an entry. */
export type Outcome<T> = T | Failure;

export interface FoundEndpoint extends Found {
  /** Its worker is away for a while and may come back: there is nobody to wait for. */
  absent: boolean;
  /** It can't work where it is, nor be anywhere else. */
  failure?: Failure;
}

/** What an entry's call says of itself. `end`: until when it waits for workers, performance.now() milliseconds. */
export interface Call {
  by: Caller;
  end: number;
}

type Item = Validated<EndpointRequest>;

/** Decides anew on an endpoint that has changed while it was waited for; null when it is gone. */
export type Anew = (tx: Tx, one: Extract<Item, { item: unknown }>) => Outcome<FoundEndpoint> | null;

/** Waits until an endpoint is served. Never rejects. */
export type Follower = (one: Item, found: Outcome<FoundEndpoint>, call: Call) => Promise<Outcome<Synced>>;

interface Services {
  commit: Commit;
  acknowledgements: Pick<Acknowledgements, "has" | "everServed">;
  confirmations: Pick<Confirmations, "wait" | "takeBack">;
}

const AGAIN_MS = 20;

export function createFollower(
  { database, log }: Pick<Deps, "database" | "log">,
  { commit, acknowledgements, confirmations }: Services,
  anew: Anew,
): Follower {
  /** What another request changes meanwhile is looked up anew, as in apps/service.ts. */
  async function follow(one: Item, first: Outcome<FoundEndpoint>, call: Call): Promise<Outcome<Synced>> {
    for (let found = first; ;) {
      try {
        const turn = await takeTurn(one, found, call);
        if ("done" in turn) return turn.done;
        found = turn.next;
      } catch (error) {
        return failedAt(found, toFailure(error));
      }
    }
  }

  async function takeTurn(
    one: Item,
    found: Outcome<FoundEndpoint>,
    { by, end }: Call,
  ): Promise<{ done: Outcome<Synced> } | { next: Outcome<FoundEndpoint> }> {
    if (found instanceof Failure) return { done: found };
    const outcome = await settle(found, by);
    if (outcome !== "superseded" && outcome !== "refused") return { done: outcome };
    if ("failure" in one) return { done: one.failure };
    // Events and other requests have their turn before the next try, and the other nodes of a worker of which one refuses.
    await Bun.sleep(outcome === "refused" ? AGAIN_MS : 0);
    const next = await decideAnew(one, found, outcome, by);
    // Its worker can't serve it, and there is no other place: nothing is left of it.
    if (next instanceof Failure) await confirmations.takeBack(found.row, by);
    // Whoever deletes has the last word: it was there, and is not made again.
    if (next === null) return { done: answerOf(found) };
    if (performance.now() <= end || isServed(next)) return { next };
    if (outcome === "refused" && !(next instanceof Failure)) await confirmations.takeBack(next.row, by);
    return { done: notResponding() };
  }

  async function decideAnew(
    one: Parameters<Anew>[1],
    { row }: FoundEndpoint,
    why: "superseded" | "refused",
    by: Caller,
  ): Promise<Outcome<FoundEndpoint> | null> {
    try {
      const { result } = await commit(by, (tx) => anew(tx, one));
      return result;
    } catch (error) {
      // Nobody waits for it any more, and its worker does not serve it.
      if (why === "refused") await confirmations.takeBack(row, by);
      throw error;
    }
  }

  function isServed(found: Outcome<FoundEndpoint>): boolean {
    return found instanceof Failure || isSettled(found) || acknowledgements.has(found.row);
  }

  async function settle(found: FoundEndpoint, by: Caller): Promise<Outcome<Synced> | "superseded" | "refused"> {
    const { row, worker, reuse, failure } = found;
    const outcome = isSettled(found) ? "served" : await confirmations.wait(found, by);
    if (outcome === "superseded" || outcome === "refused") return outcome;
    const isLate = outcome === "late";
    if (isLate && (await database.read((q) => getCircuit(q, row.id))) === undefined) return notResponding();
    if (!reuse) log.info({ ...circuitLine(row, worker.authority), ...callerLine(by) }, "endpoint created");
    // Late, and not taken back because it has served: it is there.
    const fault = isLate ? notResponding() : failure;
    return { ...answerOf(found), failure: fault };
  }

  /** One that has served keeps its URL, which clients have. */
  function failedAt(found: Outcome<FoundEndpoint>, failure: Failure): Outcome<Synced> {
    const isThere = !(found instanceof Failure) && acknowledgements.everServed(found.row);
    return isThere ? { ...answerOf(found), failure } : failure;
  }

  return follow;
}

// --- internal ---

/** It serves again when its worker is back, or not at all: there is nobody to wait for. */
function isSettled({ absent, failure }: FoundEndpoint): boolean {
  return absent || failure !== undefined;
}

function answerOf({ row, worker }: FoundEndpoint): Synced {
  return { url: endpointUrl(row, worker), healthCheckEnabled: row.healthCheck !== null };
}
