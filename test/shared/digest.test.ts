/** The digest is a part of the wire: both sides must reckon it alike, whatever their versions. */
import { expect, test } from "bun:test";
import { circuitHash, digestOf, mix } from "../../shared/digest.ts";

const A = "0a8b1b1e-6a53-4a8e-9d3c-0f6f5b3c1a01";
const B = "0a8b1b1e-6a53-4a8e-9d3c-0f6f5b3c1a02";

test("a circuit's hash is the lowest 52 bits of xxHash64, and never another", () => {
  // Reckoned with another implementation of xxHash64.
  expect([circuitHash(A, 1), circuitHash(A, 2), circuitHash(B, 1)]).toEqual([
    2_514_770_382_066_679, 2_630_831_539_201_922, 25_808_697_584_761,
  ]);
});

test("a digest does not depend on the order, and what goes out leaves no trace", () => {
  const both = digestOf([
    { id: A, revision: 7 },
    { id: B, revision: 9 },
  ]);
  expect(
    digestOf([
      { id: B, revision: 9 },
      { id: A, revision: 7 },
    ]),
  ).toBe(both);
  expect(mix(both, circuitHash(B, 9))).toBe(digestOf([{ id: A, revision: 7 }]));
  expect(digestOf([])).toBe(0);
});

test("a digest is a whole number that JSON holds, and tells one circuit in another state", () => {
  for (let revision = 0; revision < 1000; revision++) {
    const digest = mix(circuitHash(A, revision), circuitHash(B, revision * 3));
    expect(Number.isSafeInteger(digest) && digest >= 0).toBe(true);
  }
  expect(circuitHash(A, 1)).not.toBe(circuitHash(A, 2));
});
