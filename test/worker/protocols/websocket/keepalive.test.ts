/** Who is dead and who reads slowly, look by look. */
import { expect, test } from "bun:test";
import { Keepalive } from "../../../../worker/protocols/websocket/keepalive.ts";

const looks = (keepalive: Keepalive, count: number) => Array.from({ length: count }, () => keepalive.look());

test("a silent peer is asked once and gone after five looks", () => {
  expect(looks(new Keepalive(), 7)).toEqual(["fine", "fine", "ask", "fine", "fine", "gone", "gone"]);
});

test("one that answers is asked again and again, and stays", () => {
  const keepalive = new Keepalive();
  for (let round = 0; round < 5; round++) {
    expect(looks(keepalive, 3)).toEqual(["fine", "fine", "ask"]);
    keepalive.answered();
  }
});

test("one that speaks is not asked", () => {
  const keepalive = new Keepalive();
  for (let round = 0; round < 20; round++) {
    keepalive.heard();
    expect(keepalive.look()).toBe("fine");
  }
});

test("one that has megabytes to read has the time for it, and no more than for what the kernels hold", () => {
  const keepalive = new Keepalive();
  keepalive.sent(950_000);
  expect(looks(keepalive, 15).filter((one) => one === "gone")).toEqual([]);
  expect(keepalive.look()).toBe("gone");
  const flooded = new Keepalive();
  flooded.sent(1e12);
  expect(looks(flooded, 446)).not.toContain("gone");
  expect(flooded.look()).toBe("gone");
});

test("what it has read by an answered ping gives it no more time", () => {
  const keepalive = new Keepalive();
  keepalive.sent(950_000);
  expect(keepalive.look()).toBe("ask");
  keepalive.answered();
  expect(looks(keepalive, 6)).toEqual(["fine", "fine", "ask", "fine", "fine", "gone"]);
});
