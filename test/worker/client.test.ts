/** Who the client is, with and without load balancers that are trusted. */
import { describe, expect, test } from "bun:test";
import { addressMatcher } from "../../shared/addresses.ts";
import { clientOf } from "../../worker/client.ts";
import { head } from "../support/values.ts";

const BALANCER = "10.0.0.1";
const trusted = addressMatcher("10.0.0.0/8, fd00::/8");
const host: [string, string] = ["Host", "apps.example"];

/** The address that a chain of X-Forwarded-For from the balancer gives. */
function behind(forwarded: string, peer = BALANCER): { address: string; chain: string[] } {
  const { address, chain } = clientOf(head({ peer, headers: [host, ["X-Forwarded-For", forwarded]] }), trusted);
  return { address, chain };
}

describe("a peer that is not trusted", () => {
  test("is the client, whatever its headers say", () => {
    const headers: [string, string][] = [
      host,
      ["X-Forwarded-For", "10.0.0.9"],
      ["X-Forwarded-Proto", "https"],
      ["X-Forwarded-Host", "evil.example"],
    ];
    expect(clientOf(head({ peer: "203.0.113.7", headers }), trusted)).toEqual({
      address: "203.0.113.7",
      chain: ["203.0.113.7"],
      proto: "http",
      host: "apps.example",
    });
  });

  test("is nobody's proxy when none is configured", () => {
    const headers: [string, string][] = [host, ["X-Forwarded-For", "1.1.1.1"]];
    expect(clientOf(head({ peer: "127.0.0.1", headers }), addressMatcher([])).address).toBe("127.0.0.1");
  });

  test("is told without IPv4 mapping", () => {
    expect(clientOf(head({ peer: "::ffff:203.0.113.7", headers: [host] }), trusted)).toMatchObject({
      address: "203.0.113.7",
      chain: ["203.0.113.7"],
    });
    expect(clientOf(head({ peer: "2001:db8::1" }), trusted).address).toBe("2001:db8::1");
  });

  test("came with TLS when its connection did", () => {
    expect(clientOf(head({ tls: true }), trusted).proto).toBe("https");
  });

  test("without a Host has none", () => {
    expect(clientOf(head({ headers: [] }), trusted).host).toBe("");
  });
});

describe("behind a trusted proxy", () => {
  test("the client is who the proxy says", () => {
    const headers: [string, string][] = [
      host,
      ["X-Forwarded-For", "203.0.113.7"],
      ["X-Forwarded-Proto", "HTTPS"],
      ["X-Forwarded-Host", "public.example:8443"],
    ];
    expect(clientOf(head({ peer: BALANCER, headers }), trusted)).toEqual({
      address: "203.0.113.7",
      chain: ["203.0.113.7", BALANCER],
      proto: "https",
      host: "public.example:8443",
    });
  });

  test.each([
    ["the right-most that is not trusted", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"],
    ["not one that the client invented", "127.0.0.1, 203.0.113.7", "203.0.113.7"],
    ["the first when all are trusted", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["without IPv4 mapping", "::ffff:203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"],
    ["of IPv6 too", "2001:db8::7,fd00::2", "2001:db8::7"],
    ["the proxy itself when it names none", "", BALANCER],
  ])("the client is %s", (_what, forwarded, address) => {
    expect(behind(forwarded).address).toBe(address);
  });

  test("the chain is kept and extended", () => {
    expect(behind("1.1.1.1, 203.0.113.7 ,10.0.0.2", "::ffff:10.0.0.1").chain).toEqual([
      "1.1.1.1",
      "203.0.113.7",
      "10.0.0.2",
      BALANCER,
    ]);
  });

  test.each(["unknown", "_hidden", "203.0.113.7:5555", "[2001:db8::7]:5555"])(
    "what the client invented does not count behind an entry like %s",
    (entry) => {
      expect(behind(`10.99.99.99, 192.0.2.1, ${entry}`).address).not.toBe("192.0.2.1");
    },
  );

  test.each([
    ["ftp", "http"],
    ["https,http", "http"],
    ["", "http"],
  ])("X-Forwarded-Proto: %s is %s", (proto, expected) => {
    expect(clientOf(head({ peer: BALANCER, headers: [["X-Forwarded-Proto", proto]] }), trusted).proto).toBe(expected);
  });

  test.each(['a";for=1.1.1.1;x="', "a;proto=https", "a, b c", "a\u0000b", "me@evil.example", ""])(
    "X-Forwarded-Host: %p is none, so it breaks out of no header line",
    (named) => {
      expect(clientOf(head({ peer: BALANCER, headers: [host, ["X-Forwarded-Host", named]] }), trusted).host).toBe(
        "apps.example",
      );
    },
  );

  test("what it does not say is the connection's own", () => {
    expect(clientOf(head({ peer: BALANCER, tls: true, headers: [host] }), trusted)).toEqual({
      address: BALANCER,
      chain: [BALANCER],
      proto: "https",
      host: "apps.example",
    });
  });
});
