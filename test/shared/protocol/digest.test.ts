/** The digest is a part of the wire: both sides must reckon it alike, whatever their versions. */
import { expect, test } from "bun:test";
import { circuitHash, digestOf, mix, type CircuitState } from "../../../shared/protocol/digest.ts";

const A = "0a8b1b1e-6a53-4a8e-9d3c-0f6f5b3c1a01";
const B = "0a8b1b1e-6a53-4a8e-9d3c-0f6f5b3c1a02";
const THEN = "2026-08-23T00:00:00.000Z";
const LATER = "2026-08-23T00:00:00.001Z";

const state = (id: string, revision: number, at = THEN): CircuitState => ({ id, revision, updated_at: at });

test("a circuit's hash is the lowest 52 bits of xxHash64, and never another", () => {
  const states = [state(A, 1), state(A, 2), state(B, 1), state(A, 1, LATER)];
  // Reckoned with another implementation of xxHash64.
  expect(states.map(circuitHash)).toEqual([
    1_830_379_948_793_015, 1_970_048_722_136_831, 3_649_817_405_093_623, 201_879_318_908_985,
  ]);
});

test("a digest does not depend on the order, and what goes out leaves no trace", () => {
  const both = digestOf([state(A, 7), state(B, 9)]);
  expect(digestOf([state(B, 9), state(A, 7)])).toBe(both);
  expect(mix(both, circuitHash(state(B, 9)))).toBe(digestOf([state(A, 7)]));
  expect(digestOf([])).toBe(0);
});

test("a digest is a whole number that JSON holds", () => {
  for (let revision = 0; revision < 1000; revision++) {
    const digest = mix(circuitHash(state(A, revision)), circuitHash(state(B, revision * 3)));
    expect(Number.isSafeInteger(digest) && digest >= 0).toBe(true);
  }
});
