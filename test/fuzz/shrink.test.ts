/** The shrinker finds what a failure is made of. */
import { expect, test } from "bun:test";
import { shrink, smallerCuts, type Cut } from "./shrink.ts";

const LIMITS = { tries: 2000, ms: 10_000 };

test("only the bytes that fail are left", async () => {
  const start = { bytes: `${"GET / HTTP/1.1\r\nHost: me\r\n\r\n".repeat(9)}X: \0\r\n\r\n`, cuts: [3, 9, 40] };
  const fails = ({ bytes }: Cut) => Promise.resolve(bytes.includes(": \0"));
  expect(await shrink(start, smallerCuts, fails, LIMITS)).toEqual({ bytes: ": \0", cuts: [] });
});

test("a cut that it needs stays at its place", async () => {
  const start = { bytes: "GET / HTTP/1.1\r\n\r\nGET", cuts: [2, 15, 18] };
  const fails = ({ bytes, cuts }: Cut) => Promise.resolve(cuts.some((at) => bytes[at - 1] === "\r" && bytes[at] === "\n"));
  expect(await shrink(start, smallerCuts, fails, LIMITS)).toEqual({ bytes: "\r\n", cuts: [1] });
}); // prettier-ignore

test("no more is tried than allowed", async () => {
  let tries = 0;
  const fails = () => Promise.resolve(++tries > 0);
  await shrink({ bytes: "a".repeat(100_000), cuts: [] }, smallerCuts, fails, { tries: 3, ms: 10_000 });
  expect(tries).toBe(3);
});
