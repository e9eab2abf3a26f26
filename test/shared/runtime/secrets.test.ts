/** Comparing, making and judging secrets. */
import { expect, test } from "bun:test";
import { newSecret, sameSecret, weakness } from "../../../shared/runtime/secrets.ts";

test.each([
  ["abc", "abc", true],
  ["abc", "abd", false],
  ["abc", "abcd", false],
  ["", "", true],
  ["", "a", false],
  ["비밀", "비밀", true],
  ["비밀", "비빌", false],
])("%p and %p are the same: %p", (a, b, expected) => {
  expect(sameSecret(a, b)).toBe(expected);
});

test.each([
  ["", "is missing"],
  ["short", "is only 5 long"],
  ["fifteen-chars-x", "is only 15 long"],
  ["some_api_secret_", "is a well-known sample value"],
  ["some_permit_hash_secret", "is a well-known sample value"],
  ["Sample-secret-0123456789", "is a well-known sample value"],
  ["changeme-changeme-changeme", "is a well-known sample value"],
  ["change_me-0123456789", "is a well-known sample value"],
  ["secret-secret-secret", "is a well-known sample value"],
  ["aaaaaaaaaaaaaaaaaaaaaaaa", "repeats the same few characters"],
  ["abcabcabcabcabcabcabcabc", "repeats the same few characters"],
])("%p %s", (secret, why) => {
  expect(weakness(secret)).toBe(why);
});

test.each(["sixteen-chars-xy", "a-test-secret-0123456789", "f3b1c2d4e5f60718293a4b5c6d7e8f90"])(
  "%p is good",
  (secret) => {
    expect(weakness(secret)).toBeNull();
  },
);

test("a new secret is good and never the same", () => {
  const made = Array.from({ length: 20 }, newSecret);
  expect(made.map(weakness)).toEqual(made.map(() => null));
  expect(new Set(made).size).toBe(20);
});
