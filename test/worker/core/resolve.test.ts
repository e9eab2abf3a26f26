/** Which circuit a request is for. */
import { describe, expect, test } from "bun:test";
import { resolve, unresolved } from "../../../worker/core/resolve.ts";
import { labelOf } from "../../../worker/circuits/label.ts";
import type { RequestHead } from "../../../worker/seam/engine.ts";
import { circuit, head, newTable, refused } from "../../support/values.ts";

const DOMAIN = ".apps.example";
const onPort = circuit({ id: "0a0a0a0a-0000-4000-8000-000000000001", port: 10205 });
const named = circuit({ id: "0b0b0b0b-0000-4000-8000-000000000001", port: null, subdomain: "My-App" });
const table = newTable();
table.put(onPort);
table.put(named);

/** The circuit that is found. Throws the failure for none. */
function find(asked: RequestHead, domain: string | null) {
  const entry = resolve(table, asked, domain);
  if (entry === null) throw unresolved(asked, domain, true);
  return entry;
}

function wildcard(host: string | null, more: [string, string][] = []) {
  const headers: [string, string][] = host === null ? more : [["Host", host], ...more];
  return head({ frontend: { mode: "wildcard" }, headers });
}

describe("the label before the domain", () => {
  test.each([
    ["a.apps.example", "a"],
    ["A-1.APPS.Example", "a-1"],
    ["a.apps.example.", "a"],
    ["a.apps.example:8080", "a"],
    ["a.apps.example.:8080", "a"],
    ["a.apps.example:", "a"],
    ["xn--bj0bj06e.apps.example", "xn--bj0bj06e"],
    ["b.a.apps.example", null],
    ["apps.example", null],
    [".apps.example", null],
    ["aapps.example", null],
    ["a.apps.example.evil.example", null],
    ["a.apps.example..", null],
    ["a.apps.examples", null],
    ["a.apps.example:80:90", null],
    ["a.apps.example:x", null],
    ["10.0.0.1:8080", null],
    ["[::1]:8080", null],
    ["", null],
  ])("of %p is %p", (host, label) => {
    expect(labelOf(host, DOMAIN)).toBe(label);
  });

  test("does not depend on how the domain is written", () => {
    expect(labelOf("a.apps.example", ".Apps.EXAMPLE")).toBe("a");
  });
});

describe("on a port", () => {
  test("the circuit is the port's, whatever the Host and forwarding headers say", () => {
    const headers: [string, string][] = [
      ["Host", "my-app.apps.example"],
      ["X-Forwarded-Host", "my-app.apps.example"],
    ];
    expect(find(head({ headers }), DOMAIN).circuit).toBe(onPort);
  });

  test("without a circuit the slot is not registered", async () => {
    expect(await refused(() => find(head({ frontend: { mode: "port", port: 10206 } }), null))).toEqual({
      kind: "object-not-found",
      msg: "Unregistered slot 10206",
    });
  });
});

describe("under the wildcard domain", () => {
  test.each(["my-app.apps.example", "MY-APP.apps.example.:443"])("the circuit is the one of the name: %s", (host) => {
    expect(find(wildcard(host), DOMAIN).circuit).toBe(named);
  });

  test.each([
    ["other.apps.example", "other"],
    ["a.my-app.apps.example", "(none)"],
    ["my-app.elsewhere.example", "(none)"],
    ["", "(none)"],
    [null, "(none)"],
  ])("the Host %p is not registered", async (host, label) => {
    const forwarded: [string, string][] = [["X-Forwarded-Host", "my-app.apps.example"]];
    expect(await refused(() => find(wildcard(host, forwarded), DOMAIN))).toEqual({
      kind: "object-not-found",
      msg: `E20009: Subdomain ${label} not registered`,
    });
  });

  test("the name is the authority's, where an engine is told it elsewhere than in a Host", () => {
    const asked = { ...wildcard(null), authority: "my-app.apps.example" };
    expect(find(asked, DOMAIN).circuit).toBe(named);
  });

  test("nothing is found while no domain is configured", async () => {
    expect((await refused(() => find(wildcard("my-app.apps.example"), null))).kind).toBe("object-not-found");
  });
});
