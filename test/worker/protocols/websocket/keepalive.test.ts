/** Who is dead and who reads slowly, look by look. */
import { expect, test } from "bun:test";
import { Pulse } from "../../../../worker/protocols/websocket/keepalive.ts";

const looks = (pulse: Pulse, count: number) => Array.from({ length: count }, () => pulse.look());

test("a silent peer is asked once and gone after five looks", () => {
  expect(looks(new Pulse(), 7)).toEqual(["fine", "fine", "ask", "fine", "fine", "gone", "gone"]);
});

test("one that answers is asked again and again, and stays", () => {
  const pulse = new Pulse();
  for (let round = 0; round < 5; round++) {
    expect(looks(pulse, 3)).toEqual(["fine", "fine", "ask"]);
    pulse.answered();
  }
});

test("one that speaks is not asked", () => {
  const pulse = new Pulse();
  for (let round = 0; round < 20; round++) {
    pulse.heard();
    expect(pulse.look()).toBe("fine");
  }
});

test("one that has megabytes to read has the time for it, and no more than for what the kernels hold", () => {
  const pulse = new Pulse();
  pulse.sent(950_000);
  expect(looks(pulse, 15).filter((one) => one === "gone")).toEqual([]);
  expect(pulse.look()).toBe("gone");
  const flooded = new Pulse();
  flooded.sent(1e12);
  expect(looks(flooded, 181)).not.toContain("gone");
  expect(flooded.look()).toBe("gone");
});

test("what it has read by an answered ping gives it no more time", () => {
  const pulse = new Pulse();
  pulse.sent(950_000);
  expect(pulse.look()).toBe("ask");
  pulse.answered();
  expect(looks(pulse, 6)).toEqual(["fine", "fine", "ask", "fine", "fine", "gone"]);
});
