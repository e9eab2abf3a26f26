/**
 * `bun test/bench/scale-table.ts COUNT`: a worker's table with so many circuits, in a process of its own: what a lookup
 * costs and what memory a circuit takes. Prints JSON; called by scale.ts.
 */
import { resolve } from "../../worker/core/resolve.ts";
import { circuit, head, newTable, route } from "../support/values.ts";

export interface TableFigures {
  /** Nanoseconds. */
  byPort: number;
  byRequest: number;
  /** Bytes. */
  each: number;
}

/** Lookups that are timed; the keys lie all over the table. */
const LOOKUPS = 1_000_000;
const DOMAIN = ".apps.example";

if (import.meta.main) {
  const count = Number(process.argv[2]);
  const table = newTable();
  Bun.gc(true);
  const before = process.memoryUsage().rss;
  // Half on ports, half by name, from text as they come over the network: they share no strings.
  for (let at = 0; at < count; at++) table.put(JSON.parse(JSON.stringify(made(at))) as ReturnType<typeof made>);
  Bun.gc(true);
  const each = (process.memoryUsage().rss - before) / count;
  const asked = Array.from({ length: 1000 }, (_, turn) => Math.floor((turn / 1000) * count));
  const ports = asked.map((at) => at - (at % 2));
  const requests = asked.map((at) => head({ headers: [["Host", `app-${Math.min(count - 1, at | 1)}${DOMAIN}`]], frontend: { mode: "wildcard" } })); // prettier-ignore
  const figures: TableFigures = {
    byPort: timed((turn) => table.byPort(ports[turn % 1000] ?? 0)?.circuit.id),
    byRequest: timed((turn) => resolve(table, requests[turn % 1000] ?? head(), DOMAIN)?.circuit.id),
    each,
  };
  console.log(JSON.stringify(figures));
}

// --- internal ---

/** Ports beyond 65,535 too: the table does not mind, and one worker is to have 100,000 circuits. */
function made(at: number) {
  const id = crypto.randomUUID();
  const session = crypto.randomUUID();
  return circuit({
    id,
    ...(at % 2 === 0 ? { port: at } : { port: null, frontend_mode: "wildcard" as const, subdomain: `app-${at}` }),
    route_info: [route({ session_id: session })],
    session_ids: [session],
  });
}

function timed(look: (turn: number) => string | undefined): number {
  for (let turn = 0; turn < LOOKUPS / 10; turn++) look(turn);
  const began = performance.now();
  let found = 0;
  for (let turn = 0; turn < LOOKUPS; turn++) if (look(turn) !== undefined) found++;
  if (found !== LOOKUPS) throw new Error(`${LOOKUPS - found} circuits were not found`);
  return ((performance.now() - began) * 1e6) / LOOKUPS;
}
