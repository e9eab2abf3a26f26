/** Who the client is, with and without load balancers that are trusted. */
import { describe, expect, test } from "bun:test";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { clientOf, hasNoPort, withPort } from "../../../worker/http/client-address.ts";
import { head } from "../../support/values.ts";

const BALANCER = "10.0.0.1";
const proxies = { trusted: addressMatcher("10.0.0.0/8, fd00::/8"), secure: false };
const host: [string, string] = ["Host", "apps.example"];

/** The address that a chain of X-Forwarded-For from the balancer gives. */
function behind(forwarded: string, peer = BALANCER): { address: string; chain: string[] } {
  const { address, chain } = clientOf(head({ peer, headers: [host, ["X-Forwarded-For", forwarded]] }), proxies);
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
    expect(clientOf(head({ peer: "203.0.113.7", headers }), proxies)).toEqual({
      address: "203.0.113.7",
      chain: ["203.0.113.7"],
      proto: "http",
      host: "apps.example",
      isTrusted: false,
    });
  });

  test("is nobody's proxy when none is configured", () => {
    const headers: [string, string][] = [host, ["X-Forwarded-For", "1.1.1.1"]];
    expect(clientOf(head({ peer: "127.0.0.1", headers }), { trusted: addressMatcher([]), secure: false }).address).toBe(
      "127.0.0.1",
    );
  });

  test("is told without IPv4 mapping", () => {
    expect(clientOf(head({ peer: "::ffff:203.0.113.7", headers: [host] }), proxies)).toMatchObject({
      address: "203.0.113.7",
      chain: ["203.0.113.7"],
    });
    expect(clientOf(head({ peer: "2001:db8::1" }), proxies).address).toBe("2001:db8::1");
  });

  test("came with TLS when its connection did", () => {
    expect(clientOf(head({ tls: true }), proxies).proto).toBe("https");
  });

  test("without a Host has none", () => {
    expect(clientOf(head({ headers: [] }), proxies).host).toBe("");
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
    expect(clientOf(head({ peer: BALANCER, headers }), proxies)).toEqual({
      address: "203.0.113.7",
      chain: ["203.0.113.7", BALANCER],
      proto: "https",
      host: "public.example:8443",
      isTrusted: true,
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
    ["https,http", "https"],
    ["http , https", "http"],
    ["WSS", "https"],
    ["ws", "http"],
    ["wss, http", "https"],
    ["constructor", "http"],
    ["__proto__", "http"],
    ["", "http"],
  ])("X-Forwarded-Proto: %s is %s", (proto, expected) => {
    expect(clientOf(head({ peer: BALANCER, headers: [["X-Forwarded-Proto", proto]] }), proxies).proto).toBe(expected);
  });

  test.each([
    ["apps.example:8443, inner.example", "apps.example:8443"],
    [" apps.example ", "apps.example"],
    ["", "own.example"],
    [", apps.example", "own.example"],
  ])("X-Forwarded-Host: %p is %s", (named, expected) => {
    const headers: [string, string][] = [["Host", "own.example"], ["X-Forwarded-Host", named]]; // prettier-ignore
    expect(clientOf(head({ peer: BALANCER, headers }), proxies).host).toBe(expected);
  });

  test.each([
    ["apps.example", "8443", "apps.example:8443"],
    ["apps.example", "8443, 80", "apps.example:8443"],
    ["apps.example", "443", "apps.example"],
    ["apps.example", "80", "apps.example:80"],
    ["apps.example:9", "8443", "apps.example:9"],
    ["[2001:db8::1]", "8443", "[2001:db8::1]:8443"],
    ["[2001:db8::1]:9", "8443", "[2001:db8::1]:9"],
    ["apps.example", "0", "apps.example"],
    ["apps.example", "99999", "apps.example"],
    ["apps.example", "8443x", "apps.example"],
    ["apps.example", "", "apps.example"],
  ])("of https://%s X-Forwarded-Port: %p makes %s", (named, port, expected) => {
    const headers: [string, string][] = [["Host", named], ["X-Forwarded-Port", port], ["X-Forwarded-Proto", "https"]]; // prettier-ignore
    expect(clientOf(head({ peer: BALANCER, headers }), proxies).host).toBe(expected);
    expect(clientOf(head({ peer: "203.0.113.7", headers }), proxies).host).toBe(named);
  });

  test.each(['a";for=1.1.1.1;x="', "a;proto=https", "a b, c", "a\u0000b", "me@evil.example", ""])(
    "X-Forwarded-Host: %p is none, so it breaks out of no header line",
    (named) => {
      expect(clientOf(head({ peer: BALANCER, headers: [host, ["X-Forwarded-Host", named]] }), proxies).host).toBe(
        "apps.example",
      );
    },
  );

  test("what it does not say is the connection's own", () => {
    expect(clientOf(head({ peer: BALANCER, tls: true, headers: [host] }), proxies)).toEqual({
      address: BALANCER,
      chain: [BALANCER],
      proto: "https",
      host: "apps.example",
      isTrusted: true,
    });
  });
});

describe("where TLS is advertised", () => {
  const secure = { ...proxies, secure: true };

  test.each([
    ["203.0.113.7", null, "https"],
    // Who is not believed says nothing.
    ["203.0.113.7", "http", "https"],
    [BALANCER, null, "https"],
    [BALANCER, "http", "http"],
  ])("%s with X-Forwarded-Proto: %p comes with %s", (peer, proto, expected) => {
    const headers: [string, string][] = proto === null ? [host] : [host, ["X-Forwarded-Proto", proto]];
    expect(clientOf(head({ peer, headers }), secure).proto).toBe(expected);
  });
});

describe("a host whose port a proxy has dropped", () => {
  test.each([
    ["apps.example", "http://apps.example:10205", "apps.example:10205"],
    ["Apps.Example", "https://apps.example:8443", "Apps.Example:8443"],
    ["[2001:db8::1]", "http://[2001:db8::1]:10205", "[2001:db8::1]:10205"],
    ["apps.example", "https://apps.example", "apps.example"],
    ["apps.example", "https://apps.example.net:8443", "apps.example"],
    // Reached by another name, perhaps over a tunnel: nobody knows which port they see.
    ["localhost", "http://apps.example:10205", "localhost"],
  ])("%s is completed from %s: %s", (named, origin, expected) => {
    expect(withPort(named, origin)).toBe(expected);
  });

  test.each([
    ["apps.example", true],
    ["apps.example:80", false],
    ["[::1]", true],
    ["[::1]:80", false],
  ])("%s has none: %p", (named, expected) => {
    expect(hasNoPort(named)).toBe(expected);
  });
});
