/** When two registrations say the same of their worker, in whatever spelling, and what is told when they do not. */
import { describe, expect, test } from "bun:test";
import { contradictions, describeContradictions, type Facts } from "../../../shared/protocol/facts.ts";
import { portRegistration } from "../../support/rows.ts";

const filters = [
  { key: "session.id", value: "1" },
  { key: "session.id", value: "2" },
];
const BASE = portRegistration("w", { accepted_traffics: ["interactive", "inference"], app_filters: filters });

describe("the same", () => {
  test.each<[string, Partial<Facts>]>([
    ["all", {}],
    ["what is left out and what is null", { wildcard_domain: null, wildcard_traffic_port: null, traefik_last_used_marker_path: null }],
    ["a host in capitals", { hostname: "WORKER.example" }],
    ["sets in another order", { accepted_traffics: ["inference", "interactive"], app_filters: filters.toReversed() }],
    ["a filter twice", { app_filters: [...filters, ...filters] }],
  ])("is %s", (_what, change) => expect(contradictions(BASE, { ...BASE, ...change })).toEqual([])); // prettier-ignore

  test("is TLS that is listened for, of which the original says nothing more", () => {
    const ours = { ...BASE, tls_listen: true, tls_advertised: true };
    expect(contradictions({ ...BASE, tls_listen: true }, ours)).toEqual([]);
    // A load balancer ends it before one of the nodes.
    expect(contradictions({ ...BASE, tls_advertised: true }, ours)).toEqual([]);
  });

  test("is a host beyond ASCII and its punycode", () => {
    const [one, other] = [{ ...BASE, hostname: "앱.example" }, { ...BASE, hostname: "xn--rf5b.example" }]; // prettier-ignore
    expect(contradictions(one, other)).toEqual([]);
  });
});

test.each<[keyof Facts, unknown]>([
  ["frontend_mode", "wildcard"],
  ["protocol", "tcp"],
  ["hostname", "other.example"],
  ["tls_advertised", true],
  ["api_port", 5051],
  ["port_range", [10_205, 10_215]],
  ["wildcard_domain", ".apps.example"],
  ["wildcard_traffic_port", 443],
  ["accepted_traffics", ["interactive"]],
  ["filtered_apps_only", true],
  ["app_filters", filters.slice(1)],
  ["traefik_last_used_marker_path", "/tmp/marker"],
])("another %s is a contradiction", (field, given) => {
  const found = contradictions(BASE, { ...BASE, [field]: given });
  expect(found).toEqual([{ field, recorded: BASE[field] ?? null, given }]);
});

test("all of them are told, with both sides", () => {
  const found = contradictions(BASE, { ...BASE, api_port: 1, port_range: [1, 2] });
  expect(describeContradictions(found)).toBe(
    "api_port: 5050 there, 1 here; port_range: [10205,10214] there, [1,2] here",
  );
});
