/** The one rule of what follows when an app could not be asked, for each fault and how far the request had come. */
import { expect, test } from "bun:test";
import type { FaultKind } from "../../../worker/net/upstream-fault.ts";
import { isConnectFailure, mayTryNext } from "../../../worker/upstreams/attempts.ts";

test.each<[FaultKind, counts: boolean, goesOn: boolean]>([
  ["unreachable", true, true],
  ["late", true, false],
  ["broken", false, false],
  ["revoked", false, false],
])("%s counts against its route: %p; goes on over another one: %p", (kind, counts, goesOn) => {
  expect(isConnectFailure(kind)).toBe(counts);
  expect(mayTryNext(kind, { bodySent: false, clientGone: false })).toBe(goesOn);
});

test.each([
  ["of which a part may have gone out", { bodySent: true, clientGone: false }],
  ["for which nobody waits", { bodySent: false, clientGone: true }],
])("a request %s goes nowhere else", (_what, progress) => {
  expect(mayTryNext("unreachable", progress)).toBe(false);
});
