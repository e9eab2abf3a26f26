/** Which kernel of a circuit gets the next request. */
import { Failure } from "../shared/failure.ts";
import type { Route } from "../shared/schema/circuit.ts";
import type { Entry } from "./table.ts";

/** The next route in turn among those that get traffic. Throws service-unavailable when there is none. */
export function pick(entry: Entry): Route {
  const routes = entry.circuit.route_info;
  if (routes.length === 1 && routes[0] !== undefined && routes[0].traffic_ratio > 0) return routes[0];
  const live = routes.filter((route) => route.traffic_ratio > 0);
  const route = live[entry.turn++ % Math.max(live.length, 1)];
  if (route === undefined) throw new Failure("service-unavailable", "No kernel serves this app");
  return route;
}
