/**
 * The end of a worker's traffic (dataplane F4): nothing new comes in, requests finish, WebSockets are asked to go one
 * after the other, so that their clients do not all come back at once, and what is left in the end is closed.
 */
import { within } from "../shared/runtime/deadline.ts";
import type { Frontends } from "./listeners/frontends.ts";
import type { Carried } from "./upstreams/pool.ts";
import type { Table } from "./circuits/table.ts";

/** Share of the time over which WebSockets are closed; the rest is for their last words. */
const SPREAD = 0.8;

/** Where a successor has the ports: how long idle connections may stay to hear of it with their next answer. Milliseconds. */
const IDLE_MS = 30_000;

/** The part of `ms`, the time for a stop, in which idle connections may hear of a successor. */
export function idleTime(ms: number): number {
  return Math.min(ms * SPREAD, IDLE_MS);
}

/** Resolves when all is closed, after `ms` milliseconds at the latest. */
export async function drain(frontends: Frontends, table: Table, ms: number): Promise<void> {
  const finished = frontends.finish(idleTime(ms));
  const sendRest = sendAway(table, ms * SPREAD);
  await within(ms, finished);
  // Bun itself would tell them 1001, after which notebooks never come back.
  sendRest();
  await frontends.abort();
  for (const { pool } of table.all()) for (const carried of pool.carried()) carried.close();
}

// --- internal ---

/** Asks everything that can be asked to go, evenly over `ms`; then what has come meanwhile. Gives what sends the rest away at once. */
function sendAway(table: Table, ms: number): () => void {
  const asked = new Set<Carried>();
  const ask = (carried: Carried) => {
    asked.add(carried);
    carried.drain?.(false);
  };
  const open = askable(table);
  const timers = open.map((carried, at) => setTimeout(ask, (ms * at) / open.length, carried));
  // A handshake that was under way has become a WebSocket.
  const askRest = () =>
    askable(table)
      .filter((carried) => !asked.has(carried))
      .forEach(ask);
  timers.push(setTimeout(askRest, ms));
  return () => {
    timers.forEach((timer) => clearTimeout(timer));
    for (const carried of askable(table)) carried.drain?.(true);
  };
}

function askable(table: Table): Carried[] {
  return table.all().flatMap(({ pool }) => [...pool.carried()].filter((carried) => carried.drain !== undefined));
}
