/** The one rule of what follows when an app could not be asked, for each fault and how far the request had come. */
import { expect, test } from "bun:test";
import type { FaultKind } from "../../../worker/net/upstream-fault.ts";
import { isConnectFailure, mayRepeat, mayTryNext } from "../../../worker/upstreams/attempts.ts";

test.each<[FaultKind, counts: boolean, goesOn: boolean]>([
  ["unreachable", true, true],
  ["late", true, false],
  ["broken", false, false],
  ["revoked", false, false],
])("%s counts against its route: %p; goes on over another one: %p", (kind, counts, goesOn) => {
  expect(isConnectFailure(kind)).toBe(counts);
  expect(mayTryNext(kind, { hasBody: false, clientGone: false, stale: false })).toBe(goesOn);
});

test.each([
  ["of which a part may have gone out", { hasBody: true, clientGone: false, stale: false }],
  ["for which nobody waits", { hasBody: false, clientGone: true, stale: false }],
])("a request %s goes nowhere else", (_what, progress) => {
  expect(mayTryNext("unreachable", progress)).toBe(false);
});

test.each<[FaultKind, stale: boolean, clientGone: boolean, repeats: boolean]>([
  ["broken", true, false, true],
  ["broken", false, false, false],
  ["broken", true, true, false],
  ["unreachable", true, false, false],
  ["revoked", true, false, false],
])("%s, over a connection that may have been closing: %p, for nobody: %p: sent once more: %p", (kind, stale, clientGone, repeats) => {
  expect(mayRepeat(kind, { hasBody: false, clientGone, stale })).toBe(repeats);
}); // prettier-ignore
