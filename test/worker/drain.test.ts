/** The end of a worker's traffic: everything that can say goodbye is asked to before the listeners close. */
import { expect, test } from "bun:test";
import { drain } from "../../worker/drain.ts";
import type { Frontends } from "../../worker/listeners/frontends.ts";
import { pick } from "../../worker/core/pick.ts";
import { entry, newTable, untold } from "../support/values.ts";

/** Frontends whose connections never end by themselves. */
function frontends(abort: () => void): Frontends {
  return {
    open: () => Promise.resolve(true),
    serves: () => true,
    close: () => Promise.resolve(),
    retry: () => Promise.resolve([]),
    failed: () => [],
    refusal: () => null,
    blocked: () => [],
    listensAt: () => false,
    renew: () => undefined,
    finish: () => new Promise<void>(() => undefined),
    abort: () => Promise.resolve(abort()),
  };
}

// Bun 1.4.4's `stop(true)` says 1001 to WebSockets that are still open, and JupyterLab never comes back after it: none may
// be left to it.
test("a WebSocket that opens after the others were asked to go is asked too, before the listeners close", async () => {
  const table = newTable();
  table.put(entry().circuit);
  const told: string[] = [];
  const carry = (name: string, asked?: () => void) => {
    const one = pick(table.all()[0] ?? entry(), untold, "connection");
    one.drain = (atOnce) => {
      told.push(atOnce ? `${name}, at once` : name);
      if (!atOnce) asked?.();
    };
  };
  carry("open");
  // Its handshake ends while the last ones are asked. None of them ends by itself.
  const done = drain(
    frontends(() => told.push("closed")),
    table,
    50,
  );
  carry("under way", () => carry("late"));
  await done;
  const atOnce = ["open, at once", "under way, at once", "late, at once"];
  expect(told).toEqual(["open", "under way", ...atOnce, "closed"]);
});
