/** Who is dead and who reads slowly, check by check. */
import { expect, test } from "bun:test";
import { Keepalive } from "../../../../worker/protocols/websocket/keepalive.ts";

const checks = (keepalive: Keepalive, count: number) => Array.from({ length: count }, () => keepalive.check());

test("a silent peer is asked once and gone after five checks", () => {
  expect(checks(new Keepalive(), 7)).toEqual(["fine", "fine", "ask", "fine", "fine", "gone", "gone"]);
});

test("one that answers is asked again and again, and stays", () => {
  const keepalive = new Keepalive();
  for (let round = 0; round < 5; round++) {
    expect(checks(keepalive, 3)).toEqual(["fine", "fine", "ask"]);
    keepalive.answered();
  }
});

test("one that speaks is not asked", () => {
  const keepalive = new Keepalive();
  for (let round = 0; round < 20; round++) {
    keepalive.heard();
    expect(keepalive.check()).toBe("fine");
  }
});

test("one that has megabytes to read has the time for it, and no more than for what the kernels hold", () => {
  const keepalive = new Keepalive();
  keepalive.sent(950_000);
  expect(checks(keepalive, 15).filter((one) => one === "gone")).toEqual([]);
  expect(keepalive.check()).toBe("gone");
  const flooded = new Keepalive();
  flooded.sent(1e12);
  expect(checks(flooded, 446)).not.toContain("gone");
  expect(flooded.check()).toBe("gone");
});

test("what it has read by an answered ping gives it no more time", () => {
  const keepalive = new Keepalive();
  keepalive.sent(950_000);
  expect(keepalive.check()).toBe("ask");
  keepalive.answered();
  expect(checks(keepalive, 6)).toEqual(["fine", "fine", "ask", "fine", "fine", "gone"]);
});
