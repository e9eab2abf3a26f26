/** What the log says, once, about refusals that come from a proxy in front. */
import { describe, expect, test } from "bun:test";
import { pino } from "pino";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { Failure, type FailureKind } from "../../../shared/failure.ts";
import { createAdvice } from "../../../worker/core/advice.ts";
import { head, type HeadWish } from "../../support/values.ts";

const BALANCER = "10.0.0.1";

/** The keys that are named for these refusals, one after the other. */
function named(refusals: [FailureKind, HeadWish, msg?: string][], { secure = false } = {}): unknown[] {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const advise = createAdvice({ trusted: addressMatcher("10.0.0.0/8"), secure }, log);
  for (const [kind, wish, msg] of refusals) advise(new Failure(kind, msg), head(wish));
  return lines.map(({ key }) => key);
}

const TRUST = "proxy_worker.trusted_proxies";
const told = (...names: string[]): [string, string][] => names.map((name) => [name, "http"]);

describe("a refusal behind a proxy that is not trusted", () => {
  test.each(["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded"])(
    "names trusted_proxies where %s was not believed, once",
    (name) => {
      const of = (kind: FailureKind): [FailureKind, HeadWish] => [kind, { headers: told(name) }];
      expect(named([of("generic-forbidden"), of("client-ip-not-allowed"), of("generic-forbidden")])).toEqual([TRUST]);
    },
  );

  test("has no advice where nothing was said, or it was believed, or something else is wrong", () => {
    const headers = told("X-Forwarded-For", "X-Forwarded-Host");
    expect(
      named([
        ["generic-forbidden", {}],
        ["client-ip-not-allowed", { peer: BALANCER, headers }],
        ["generic-forbidden", { peer: BALANCER, headers }],
        ["service-unavailable", { headers }],
        ["generic-bad-request", { headers }],
      ]),
    ).toEqual([]);
  });
});

test("a permit that a browser does not keep over plain http names tls_advertised", () => {
  const wish: HeadWish = { headers: told("X-Forwarded-Proto") };
  expect(named([["invalid-credentials", wish]], { secure: true })).toEqual(["proxy_worker.tls_advertised"]);
  expect(named([["invalid-credentials", wish]])).toEqual([]);
  const https: HeadWish = { headers: [["X-Forwarded-Proto", "https"]] };
  expect(named([["invalid-credentials", https]], { secure: true })).toEqual([]);
});

test("a replaced Host is named where circuits are found by it, and where pages are told by it", () => {
  const wildcard: HeadWish = { frontend: { mode: "wildcard" }, headers: told("X-Forwarded-For") };
  expect(named([["object-not-found", wildcard, "E20009: Subdomain (none) not registered"]])).toEqual(["Host"]);
  // It came with a name of ours, whose circuit has ended.
  expect(named([["object-not-found", wildcard, "E20009: Subdomain app-1 not registered"]])).toEqual([]);
  expect(named([["generic-forbidden", { peer: BALANCER, headers: told("X-Forwarded-For") }]])).toEqual(["Host"]);
});
