/** Hosts as they stand in URLs that leave. */
import { describe, expect, test } from "bun:test";
import { asciiHost, isUrlHost, originAt, standsUnder } from "../../../shared/http/host.ts";

describe("a host that", () => {
  test.each([
    "localhost",
    "worker-1",
    "my_host",
    "apps.example.com",
    "apps.example.com.",
    "2apps.example.com",
    "_x.example.com",
    "앱.example.com",
    "xn--rf5b.example.com",
    "שלום.example.com",
    "EXAMPLE.com",
    "10.0.0.1",
    "::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
  ])("a URL can have: %s", (host) => {
    expect(isUrlHost(host)).toBe(true);
  });

  test.each([
    "",
    "a b",
    'a"b',
    "a{b}",
    "a`b",
    "a'b",
    "a|b",
    "a*b",
    "a,b",
    "a..b",
    ".",
    "a%41b",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a\\b",
    "a:80",
    "fe80::1%eth0",
    "256.1.1.1",
    "xn--a",
    "שלום.2apps.example.com",
  ])("no URL can have: %p", (host) => {
    expect(isUrlHost(host)).toBe(false);
  });
});

describe("a label under a domain", () => {
  test.each([
    ["llama", ".apps.example.com", true],
    ["7b", ".2apps.example.com", true],
    ["xn--9dbne9b", ".apps.example.com", true],
    ["xn--9dbne9b", ".2apps.example.com", false],
    ["xn--9dbne9b", ".a.2.example.com", false],
    ["xn--oi2bp7b", ".2apps.example.com", true],
    ["7b", ".xn--9dbne9b.example.com", false],
    ["llama-7", ".שלום.example.com", true],
  ])("%s%s: %p", (label, domain, stands) => {
    expect(standsUnder(label, domain)).toBe(stands);
  });
});

describe("in ASCII", () => {
  test.each([
    ["Apps.Example.com", "apps.example.com"],
    ["앱.example.com", "xn--rf5b.example.com"],
    ["2001:DB8::1", "[2001:db8::1]"],
    ["[::1]", "[::1]"],
    ["10.0.0.1", "10.0.0.1"],
    ["xn--9dbne9b.2apps.example.com", "xn--9dbne9b.2apps.example.com"],
    ["שלום.2앱.example.com", "xn--9dbne9b.xn--2-9k6f.example.com"],
    ["a b", "a%20b"],
  ])("%s is %s", (host, ascii) => {
    expect(asciiHost(host)).toBe(ascii);
  });

  test.each([
    ["http", "a.example", 80, "http://a.example"],
    ["https", "a.example", 443, "https://a.example"],
    ["https", "a.example", 80, "https://a.example:80"],
    ["http", "a.example", null, "http://a.example"],
    ["http", "::1", 8080, "http://[::1]:8080"],
    ["http", "앱.example", 8080, "http://xn--rf5b.example:8080"],
    ["https", "xn--9dbne9b.2apps.example", 443, "https://xn--9dbne9b.2apps.example"],
  ] as const)("%s at %s and %p is %s", (scheme, host, port, origin) => {
    expect(originAt(scheme, host, port)).toBe(origin);
  });
});
