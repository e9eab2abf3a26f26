/** The places of a shared port's listeners, as the kernel counts them. */
import { describe, expect, test } from "bun:test";
import { ListenerOrder } from "../../../worker/engine/listener-order.ts";

const [a, b, c] = [{ name: "a" }, { name: "b" }, { name: "c" }];

describe("ours", () => {
  test("stand in the order in which they came", () => {
    const order = new ListenerOrder(a);
    order.joined(b);
    expect([order.newest, order.own]).toEqual([1, 2]);
  });

  test("give their place to the last when they leave", () => {
    const order = new ListenerOrder(a);
    order.joined(b);
    order.joined(c);
    order.left(a);
    expect([order.newest, order.own]).toEqual([0, 2]);
    order.left(b);
    expect([order.newest, order.own]).toEqual([0, 1]);
  });

  test("that leave twice change nothing", () => {
    const order = new ListenerOrder(a);
    order.joined(b);
    order.left(a);
    order.left(a);
    expect([order.newest, order.own]).toEqual([0, 1]);
  });
});

describe("another process's", () => {
  test("that comes later is the successor", () => {
    const order = new ListenerOrder(a);
    expect(order.successor).toBe(-1);
    order.seen([501]);
    expect([order.successor, order.elderListens]).toEqual([1, false]);
  });

  test("that was there before is none, and ours stands behind it", () => {
    const order = new ListenerOrder(a, [400]);
    order.seen([400]);
    expect([order.newest, order.successor, order.elderListens]).toEqual([1, -1, true]);
  });

  test("that was there before may renew its certificate: its second listener is no successor", () => {
    const order = new ListenerOrder(a, [400]);
    order.seen([400, 401]);
    expect([order.newest, order.successor]).toEqual([1, -1]);
    order.seen([401]);
    expect([order.newest, order.successor, order.elderListens]).toEqual([1, -1, true]);
    order.seen([]);
    order.seen([501]);
    expect([order.newest, order.successor]).toEqual([0, 1]);
  });

  test("that has gone leaves its place to ours", () => {
    const order = new ListenerOrder(a, [400]);
    order.seen([]);
    expect([order.newest, order.elderListens]).toEqual([0, false]);
    order.seen([502]);
    expect(order.successor).toBe(1);
  });

  test("stands between two of ours when a certificate was renewed after it came, and is followed by its own second", () => {
    const order = new ListenerOrder(a);
    order.seen([501]);
    order.joined(b);
    order.seen([501, 502]);
    expect([order.newest, order.successor]).toEqual([2, 3]);
    order.left(a);
    expect([order.newest, order.successor]).toEqual([2, 1]);
  });
});
