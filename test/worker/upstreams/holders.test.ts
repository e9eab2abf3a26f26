/** Whose open requests and connections count together: over circuits as they come, change and go. */
import { expect, test } from "bun:test";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { RouteAttempt } from "../../../worker/upstreams/attempt.ts";
import { Holders } from "../../../worker/upstreams/holders.ts";
import type { RoutePool } from "../../../worker/upstreams/pool.ts";
import type { Table } from "../../../worker/circuits/table.ts";
import { circuit, newTable, route, untold } from "../../support/values.ts";

const IDS = ["c1c1c1c1-0000-4000-8000-000000000001", "c1c1c1c1-0000-4000-8000-000000000002"] as const;

function put(table: Table, at: 0 | 1, over: Partial<Circuit> = {}): RoutePool {
  table.put(circuit({ id: IDS[at], port: 10_205 + at, ...over }));
  return table.byId(IDS[at])?.pool as RoutePool;
}

const counts = ({ holders }: RoutePool) => holders.map(({ kind, open }) => [kind, open]);

function attemptAt(pool: RoutePool): RouteAttempt {
  const upstream = pool.pick();
  if (upstream === null) throw new Error("the pool gives no upstream");
  return new RouteAttempt(pool, upstream, untold, "request");
}

test("what is open of two circuits of a person's session counts together, until it is over", () => {
  const table = newTable();
  const [one, other] = [put(table, 0), put(table, 1)];
  const attempts = [attemptAt(one), attemptAt(other), attemptAt(other)];
  expect([counts(one), counts(other)]).toEqual([
    [["session", 3], ["user", 3]],
    [["session", 3], ["user", 3]],
  ]); // prettier-ignore
  attempts[0]?.release();
  attempts[0]?.release();
  expect(counts(other)).toEqual([["session", 2], ["user", 2]]); // prettier-ignore
});

test("what was opened for one person does not count for the next one, and goes from the one for whom it was", () => {
  const table = newTable();
  const [mine, changed] = [put(table, 0), put(table, 1)];
  const attempt = attemptAt(changed);
  put(table, 1, { user_id: "another" });
  expect([counts(mine), counts(changed)]).toEqual([
    [["session", 1], ["user", 1]],
    [["session", 1], ["user", 0]],
  ]); // prettier-ignore
  attempt.release();
  expect(counts(mine)).toEqual([["session", 0], ["user", 0]]); // prettier-ignore
});

test("what is still open of a circuit that is gone counts for the person's next one", () => {
  const table = newTable();
  const attempt = attemptAt(put(table, 0));
  table.remove(IDS[0]);
  const next = put(table, 1);
  expect(counts(next)).toEqual([["session", 1], ["user", 1]]); // prettier-ignore
  attempt.release();
  expect(counts(next)).toEqual([["session", 0], ["user", 0]]); // prettier-ignore
});

test("a model service is nobody's, and neither has one without a user", () => {
  const table = newTable();
  expect(counts(put(table, 0, { app_mode: "inference" }))).toEqual([]);
  expect(counts(put(table, 1, { user_id: null }))).toEqual([["session", 0]]);
});

test("nothing is kept of who has neither circuits nor anything open", () => {
  const holders = new Holders();
  const routes = [route({ session_id: "s1" }), route({ session_id: "s1" }), route({ session_id: "s2" })];
  const taken = holders.take(circuit({ route_info: routes }));
  expect([taken.map(({ kind, id }) => `${kind} ${id}`), holders.size]).toEqual([
    ["session s1", "session s2", `user ${circuit().user_id ?? ""}`],
    3,
  ]);
  for (const holder of taken) holder.enter();
  holders.give(taken);
  expect(holders.size).toBe(3);
  for (const holder of taken) holder.leave();
  expect(holders.size).toBe(0);
});
