/**
 * Where the requests of model services go: whole tables, additions and removals for many endpoints in one transaction.
 * An unknown endpoint is its entry's failure; a call that changes nothing tells nobody.
 */
import { Failure } from "../../shared/failure.ts";
import type { Route } from "../../shared/protocol/schema/circuit.ts";
import type {
  OutcomeItem,
  RegisteredItem,
  RoutesItem,
  UnregisteredItem,
  UnregisterItem,
} from "../../shared/protocol/schema/endpoint.ts";
import type { Commit } from "../delivery/commit.ts";
import { takeOverKernels, isOfAnother, ownersOf } from "../circuits/end-routes.ts";
import type { Confirmations } from "../delivery/confirm.ts";
import { circuitOfEndpoint } from "../store/circuit-queries.ts";
import * as circuits from "../store/circuits.ts";
import type { Caller, Query } from "../store/store.ts";
import type { TargetService } from "../targets/service.ts";
import { targetOf, toRoutes, type Validated } from "./items.ts";

export interface RouteService {
  /** Replaces the tables. `[]` means no traffic. */
  replace(items: readonly Validated<RoutesItem>[], by: Caller): Promise<OutcomeItem[]>;
  /** Adds what is not there yet, by route id. */
  register(items: readonly Validated<RoutesItem>[], by: Caller): Promise<RegisteredItem[]>;
  /** Takes away what is there, by route id. */
  unregister(items: readonly Validated<UnregisterItem>[], by: Caller): Promise<UnregisteredItem[]>;
}

/** A new table, and what the answer says of it. */
interface Decision<Extra> {
  routes: Route[];
  extra: Extra;
}

/** What a call is about. */
interface Call<Item, Extra> {
  /** The routes that an entry wants to be there, as they would be. Throws the entry's failure. */
  asked: (item: Item, before: readonly Route[]) => Route[];
  /** Decides on the new table; `asked` are those of the entry's routes that may be there. */
  decide: (item: Item, before: readonly Route[], asked: Route[]) => Decision<Extra>;
  /** What a failed entry says. */
  nothing: Extra;
}

/** An entry as it was read: what it asks for, or why it can't be done. */
type Read<Item> = { id: string } & ({ item: Item; asked: Route[] } | { error: string });

interface Services {
  commit: Commit;
  confirmations: Confirmations;
  targets: TargetService;
}

export function createRouteService({ commit, confirmations, targets }: Services): RouteService {
  /** Decides every entry's new table in one transaction. */
  async function apply<Item, Extra extends object>(
    items: readonly Validated<Item>[],
    by: Caller,
    { asked, decide, nothing }: Call<Item, Extra>,
  ): Promise<(OutcomeItem & Extra)[]> {
    const changed = new Map<string, circuits.CircuitRow>();
    const { result: outcomes, settled } = await commit(by, (tx) => {
      const entries = items.map((one) => read(tx, one, asked));
      const wanted = entries.flatMap((entry) => ("asked" in entry ? entry.asked : []));
      // Of two sessions that name one kernel the later entry's has it: so the same call again changes nothing.
      const owners = ownersOf(wanted);
      const mine = (route: Route) => !isOfAnother(route, owners);
      for (const { left } of takeOverKernels(tx, wanted.filter(mine))) if (left !== null) changed.set(left.id, left);
      return entries.map((entry) => {
        const row = circuitOfEndpoint(tx, entry.id);
        if ("error" in entry || row === undefined) {
          return {
            deployment_id: entry.id,
            success: false,
            ...nothing,
            error: "error" in entry ? entry.error : UNKNOWN,
          };
        }
        const { routes, extra } = decide(entry.item, row.routeInfo, entry.asked.filter(mine));
        if (!isSameTable(routes, row.routeInfo)) changed.set(row.id, circuits.updateRoutes(tx, row, routes));
        return { deployment_id: entry.id, success: true, ...extra, error: null };
      });
    });
    await Promise.all([confirmations.applied([...changed.values()]), settled()]);
    return outcomes;
  }

  const judge = (items: readonly Validated<RoutesItem>[]) =>
    targets.judge(items.flatMap((one) => ("item" in one ? one.item.routes.map(targetOf) : [])));

  return {
    async replace(items, by) {
      const faultOf = await judge(items);
      return apply(items, by, {
        asked: ({ routes }) => toRoutes(routes, faultOf),
        decide: (_item, _before, routes) => ({ routes, extra: {} }),
        nothing: {},
      });
    },
    async register(items, by) {
      const faultOf = await judge(items);
      return apply(items, by, {
        asked: ({ routes }, before) => asKnown(toRoutes(routes, faultOf), before),
        decide: (_item, before, routes) => register(routes, before),
        nothing: { registered_route_ids: [], already_registered_route_ids: [] },
      });
    },
    unregister: (items, by) =>
      apply(items, by, {
        asked: () => [],
        decide: unregister,
        nothing: { unregistered_route_ids: [], already_absent_route_ids: [] },
      }),
  };
}

// --- internal ---

const UNKNOWN = "No circuit registered for this endpoint yet.";

/** An entry that fails asks for nothing, and the others go on. */
function read<Item>(q: Query, one: Validated<Item>, asked: Call<Item, unknown>["asked"]): Read<Item> {
  const { id } = one;
  if ("failure" in one) return { id, error: one.failure.message };
  const row = circuitOfEndpoint(q, id);
  if (row === undefined) return { id, error: UNKNOWN };
  try {
    return { id, item: one.item, asked: asked(one.item, row.routeInfo) };
  } catch (error) {
    if (error instanceof Failure) return { id, error: error.message };
    throw error;
  }
}

/** In any order: Managers read their rows as they come. */
function isSameTable(one: readonly Route[], other: readonly Route[]): boolean {
  const sorted = (routes: readonly Route[]) =>
    routes.toSorted((a, b) => (a.route_id ?? "").localeCompare(b.route_id ?? ""));
  return one.length === other.length && Bun.deepEquals(sorted(one), sorted(other));
}

/** What is registered already stays as it is. */
function asKnown(routes: readonly Route[], before: readonly Route[]): Route[] {
  const known = new Map(before.map((route) => [route.route_id, route]));
  return routes.map((route) => known.get(route.route_id) ?? route);
}

function register(
  asked: readonly Route[],
  before: readonly Route[],
): Decision<Pick<RegisteredItem, "registered_route_ids" | "already_registered_route_ids">> {
  const known = new Set(before.map(({ route_id: id }) => id));
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
