/** Which kernel of a circuit gets the next request. */
import { Failure } from "../shared/failure.ts";
import { RoutePassage } from "./routes/passage.ts";
import type { Entry } from "./table.ts";

/** A passage over the next route in turn. `moved` is told of its bytes. Throws service-unavailable when there is none. */
export function pick({ pool }: Entry, moved: () => void): RoutePassage {
  const member = pool.pick();
  if (member === null) throw new Failure("service-unavailable", "No kernel serves this app");
  return new RoutePassage(pool, member, moved);
}
