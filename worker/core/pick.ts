/** Which kernel of a circuit gets the next request. */
import { Failure } from "../../shared/failure.ts";
import { RouteAttempt, type Reports, type Travels } from "../upstreams/attempt.ts";
import type { Entry } from "../circuits/table.ts";

/** An attempt over the next route in turn, whose use is told to `use`. Throws service-unavailable when there is none. */
export function pick({ pool }: Entry, use: Reports, travels: Travels): RouteAttempt {
  const upstream = pool.pick();
  if (upstream === null)
    throw new Failure("service-unavailable", { msg: "No kernel serves this app", page: "no-kernel" });
  return new RouteAttempt(pool, upstream, use, travels);
}
