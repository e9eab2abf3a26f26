/**
 * Ends routes: of sessions that are over, of kernels that refuse, of kernels whose address is another session's by now. An
 * interactive circuit ends with its last route, a model service's stays and has fewer.
 */
import type { Route } from "../../shared/protocol/schema/circuit.ts";
import type { EndReason } from "../store/recorded.ts";
import type { Query, Tx } from "../store/store.ts";
import { deleteOfSessions } from "../store/tokens.ts";
import { circuitsOfSession } from "../store/circuit-queries.ts";
import { selectOthers } from "../store/circuit-statements.ts";
import { removeCircuit, updateRoutes, type CircuitRow } from "../store/circuits.ts";

/** A session's way to a kernel. */
export type KernelLink = Pick<Route, "session_id" | "kernel_host" | "kernel_port">;

/** A circuit that has lost routes. */
export interface Ended {
  /** As it was. */
  row: CircuitRow;
  /** As it is now; null when it was removed. */
  left: CircuitRow | null;
}

/** Takes away the routes that are over. */
export function endRoutes(
  tx: Tx,
  rows: readonly CircuitRow[],
  isOver: (route: Route, row: CircuitRow) => boolean,
  why: EndReason,
): Ended[] {
  return rows.flatMap((row): Ended[] => {
    const routes = row.routeInfo.filter((route) => !isOver(route, row));
    if (routes.length === row.routeInfo.length) return [];
    if (row.appMode === "inference" || routes.length > 0) return [{ row, left: updateRoutes(tx, row, routes, why) }];
    removeCircuit(tx, row, why);
    return [{ row, left: null }];
  });
}

/** Ends all that belongs to sessions, their tokens too. */
export function endSessions(tx: Tx, sessionIds: readonly string[]): { ended: Ended[]; tokens: number } {
  const over = new Set(sessionIds);
  // A model service may have kernels of several of them: it changes once.
  const rows = new Map(sessionIds.flatMap((id) => circuitsOfSession(tx, id)).map((row) => [row.id, row]));
  const ended = endRoutes(tx, [...rows.values()], ({ session_id: id }) => over.has(id), "session-over");
  return { ended, tokens: deleteOfSessions(tx, sessionIds) };
}

/** The circuits of other sessions that lead to these kernels. 5,000 routes take 15 ms. */
export function circuitsOfOthers(q: Query, routes: readonly KernelLink[]): CircuitRow[] {
  if (routes.length === 0) return [];
  const leads = routes.map(({ session_id: session, kernel_host: host, kernel_port: port }) => [host, port, session]);
  return selectOthers(q).all({ leads: JSON.stringify(leads) });
}

/** The kernels of these routes are these sessions' from now on: circuits of other sessions lose their way to them. */
export function takeOverKernels(
  tx: Tx,
  routes: readonly KernelLink[],
  others: readonly CircuitRow[] = circuitsOfOthers(tx, routes),
): Ended[] {
  const owners = ownersOf(routes);
  return endRoutes(tx, others, (route) => isOfAnother(route, owners), "kernel-reassigned");
}

/** Whose each kernel is. Where two sessions name one, the later route counts. */
export function ownersOf(routes: readonly KernelLink[]): ReadonlyMap<string, string> {
  return new Map(routes.map((route) => [kernelOf(route), route.session_id]));
}

/** Whether a route leads to a kernel of another session. */
export function isOfAnother(route: Route, owners: ReadonlyMap<string, string>): boolean {
  return (owners.get(kernelOf(route)) ?? route.session_id) !== route.session_id;
}

// --- internal ---

function kernelOf({ kernel_host: host, kernel_port: port }: KernelLink): string {
  return `${host} ${port}`;
}
