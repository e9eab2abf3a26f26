/**
 * Where the requests of model services go: whole tables, additions and removals for many endpoints in one transaction.
 * An unknown endpoint is its entry's failure; a call that changes nothing tells nobody.
 */
import { Failure } from "../../shared/failure.ts";
import type { Route } from "../../shared/schema/circuit.ts";
import type {
  OutcomeItem,
  RegisteredItem,
  RoutesItem,
  UnregisteredItem,
  UnregisterItem,
} from "../../shared/schema/endpoint.ts";
import type { Serving } from "../circuits/serving.ts";
import { circuitOfEndpoint } from "../circuits/find.ts";
import * as circuits from "../circuits/store.ts";
import { write } from "../db/open.ts";
import type { Deps } from "../deps.ts";
import type { Publisher } from "../publish.ts";
import { toRoutes, type Judged } from "./items.ts";

export interface RouteService {
  /** Replaces the tables. `[]` means no traffic. */
  replace(items: readonly Judged<RoutesItem>[], requestId: string | null): Promise<OutcomeItem[]>;
  /** Adds what is not there yet, by route id. */
  register(items: readonly Judged<RoutesItem>[], requestId: string | null): Promise<RegisteredItem[]>;
  /** Takes away what is there, by route id. */
  unregister(items: readonly Judged<UnregisterItem>[], requestId: string | null): Promise<UnregisteredItem[]>;
}

/** A new table, and what the answer says of it. */
interface Decision<Extra> {
  routes: Route[];
  extra: Extra;
}

export function createRouteService({ database, now, log }: Deps, publisher: Publisher, serving: Serving): RouteService {
  const { db } = database;

  /** Decides every entry's new table in one transaction. `nothing` is what a failed entry says. */
  async function apply<Item, Extra extends object>(
    items: readonly Judged<Item>[],
    requestId: string | null,
    nothing: Extra,
    decide: (item: Item, before: readonly Route[]) => Decision<Extra>,
  ): Promise<(OutcomeItem & Extra)[]> {
    const changed = new Map<string, circuits.CircuitRow>();
    const outcomes = write(db, (tx) =>
      items.map((one) => {
        const failed = (error: string) => ({ deployment_id: one.id, success: false, ...nothing, error });
        if ("failure" in one) return failed(one.failure.message);
        const row = circuitOfEndpoint(tx, one.id);
        if (row === undefined) return failed("No circuit registered for this endpoint yet.");
        try {
          const { routes, extra } = decide(one.item, row.routeInfo);
          if (!isSameTable(routes, row.routeInfo))
            changed.set(row.id, circuits.updateRoutes(tx, row, routes, { requestId, now: now() }));
          return { deployment_id: one.id, success: true, ...extra, error: null };
        } catch (error) {
          // It has written nothing; the others go on.
          if (error instanceof Failure) return failed(error.message);
          throw error;
        }
      }),
    );
    publisher.kick();
    for (const row of changed.values()) {
      const { id: circuit, originRequestId: origin_request_id, endpointId: endpoint } = row;
      log.info({ circuit, endpoint, origin_request_id, request_id: requestId, routes: row.routeInfo.length }, "routes changed"); // prettier-ignore
    }
    await serving.applied([...changed.values()]);
    return outcomes;
  }

  return {
    replace: (items, requestId) =>
      apply(items, requestId, {}, ({ routes }) => ({ routes: toRoutes(routes), extra: {} })),
    register: (items, requestId) =>
      apply(items, requestId, { registered_route_ids: [], already_registered_route_ids: [] }, register),
    unregister: (items, requestId) =>
      apply(items, requestId, { unregistered_route_ids: [], already_absent_route_ids: [] }, unregister),
  };
}

// --- internal ---

/** In any order: Managers read their rows as they come. */
function isSameTable(one: readonly Route[], other: readonly Route[]): boolean {
  const sorted = (routes: readonly Route[]) =>
    routes.toSorted((a, b) => (a.route_id ?? "").localeCompare(b.route_id ?? ""));
  return one.length === other.length && Bun.deepEquals(sorted(one), sorted(other));
}

function register(
  { routes: wanted }: RoutesItem,
  before: readonly Route[],
): Decision<Pick<RegisteredItem, "registered_route_ids" | "already_registered_route_ids">> {
  const known = new Set(before.map(({ route_id: id }) => id));
  const asked = toRoutes(wanted);
  const fresh = asked.filter(({ route_id: id }) => !known.has(id));
  const ids = (routes: readonly Route[]) => routes.map(({ route_id: id }) => id ?? "");
  return {
    routes: [...before, ...fresh],
    extra: {
      registered_route_ids: ids(fresh),
      already_registered_route_ids: ids(asked.filter(({ route_id: id }) => known.has(id))),
    },
  };
}

function unregister(
  { route_ids: given }: UnregisterItem,
  before: readonly Route[],
): Decision<Pick<UnregisteredItem, "unregistered_route_ids" | "already_absent_route_ids">> {
  const asked = new Set(given.map((id) => id.toLowerCase()));
  const known = new Set(before.map(({ route_id: id }) => id ?? ""));
  return {
    routes: before.filter(({ route_id: id }) => id === null || !asked.has(id)),
    extra: {
      unregistered_route_ids: [...asked.intersection(known)],
      already_absent_route_ids: [...asked.difference(known)],
    },
  };
}
