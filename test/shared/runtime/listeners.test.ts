/** The product's own services, found by any address that leads to them. */
import { describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { createListeners, hears, isOwnAddress } from "../../../shared/runtime/listeners.ts";
import type { Resolve } from "../../../shared/runtime/resolve.ts";

const NAMES: Record<string, string[]> = { "redis.example": ["10.9.9.9", "fd00::9"], "here.example": ["127.0.0.1"] };
const resolve: Resolve = (host) => {
  if (/^[\d.]+$|:/.test(host)) return [host];
  const found = NAMES[host];
  return found === undefined ? Promise.reject(new Error(`unknown: ${host}`)) : Promise.resolve(found);
};

const outer = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4");

describe("a service", () => {
  const listeners = createListeners(
    [
      { host: "127.0.0.1", port: 10200 },
      { host: "0.0.0.0", port: 10201 },
      { host: "redis.example", port: 6379 },
      { host: "gone.example", port: 5432 },
      { host: "10.8.8.8", port: 6379 },
    ],
    resolve,
  );

  test("is looked for by its port first", () => {
    expect([10200, 6379, 80].map((port) => listeners.mayBeAt(port))).toEqual([true, true, false]);
  });

  test.each([
    ["127.0.0.1", 10200, true],
    ["127.5.6.7", 10200, true],
    ["::1", 10201, true],
    ["::ffff:127.0.0.1", 10201, true],
    ["10.9.9.9", 6379, true],
    ["fd00:0::9", 6379, true],
    ["64:ff9b::10.9.9.9", 6379, true],
    ["64:ff9b:1::10.8.8.8", 6379, true],
    ["10.8.8.8", 6379, true],
    ["10.8.8.9", 6379, false],
    ["127.0.0.1", 6379, false],
    ["10.1.1.1", 10201, false],
    ["10.1.1.1", 5432, false],
  ])("at %s port %d: %p", async (address, port, found) => {
    expect(await listeners.isAt(address, port)).toBe(found);
  });

  test.skipIf(outer === undefined)("of this machine is at all its addresses", async () => {
    expect(isOwnAddress(outer?.address ?? "")).toBe(true);
    expect(await listeners.isAt(outer?.address ?? "", 10200)).toBe(true);
  });
});

test("a socket that is bound to one address hears that one, and one that is bound to all hears all", async () => {
  const heard = (host: string) =>
    Promise.all(["127.0.0.1", "127.0.0.2", "10.1.1.1"].map((to) => hears(host, to, resolve)));
  expect(await heard("127.0.0.1")).toEqual([true, false, false]);
  expect(await heard("here.example")).toEqual([true, false, false]);
  expect(await heard("0.0.0.0")).toEqual([true, true, false]);
  expect(await heard("::")).toEqual([true, true, false]);
  expect(await heard("gone.example")).toEqual([false, false, false]);
});
