/** Answer headers of apps that reach further than a circuit: what of them passes in each mode. */
import { describe, expect, test } from "bun:test";
import { ANSWER_RULES } from "../../../worker/http/answer-rules.ts";

const HOST = "lab.apps.example:8443";
const passed = (mode: "port" | "wildcard", name: string, value: string, host = HOST) => {
  const rule = ANSWER_RULES[mode].get(name);
  return rule === undefined ? value : rule(value, host);
};

describe.each(["port", "wildcard"] as const)("in %s mode Clear-Site-Data", (mode) => {
  test.each([
    ['"cookies"', null],
    ['"cache", "cookies", "storage"', '"cache", "storage"'],
    ['"cache","cookies"', '"cache"'],
    ['"storage"', '"storage"'],
    [
      '"executionContexts", "prefetchCache", "prerenderCache"',
      '"executionContexts", "prefetchCache", "prerenderCache"',
    ],
    ['"*"', '"cache", "storage", "executionContexts", "prefetchCache", "prerenderCache"'],
    ['"cookies", "*"', '"cache", "storage", "executionContexts", "prefetchCache", "prerenderCache"'],
    // What is not known may reach anywhere; clientHints are cleared with cookies.
    ['"clientHints", "everything", cache', null],
    ["", null],
  ])("%s passes as %p", (value, expected) => {
    expect(passed(mode, "clear-site-data", value)).toBe(expected);
  });
});

describe.each(["port", "wildcard"] as const)("in %s mode", (mode) => {
  test.each(["public-key-pins", "public-key-pins-report-only", "expect-ct"])("%s never passes", (name) => {
    expect(passed(mode, name, "max-age=1")).toBeNull();
  });

  test.each(["reporting-endpoints", "origin-agent-cluster", "service-worker-allowed", "content-security-policy"])(
    "%s is about one document or origin, and passes",
    (name) => {
      expect(passed(mode, name, "x")).toBe("x");
    },
  );
});

test.each([
  ["strict-transport-security", "max-age=1"],
  ["alt-svc", 'h3=":8443"'],
  ["alt-svc", "clear"],
  ["nel", '{"max_age":1}'],
  ["report-to", '{"max_age":1}'],
])("in port mode %s never passes: %s", (name, value) => {
  expect(passed("port", name, value)).toBeNull();
});

describe("in wildcard mode", () => {
  test.each([
    ["max-age=31536000", "max-age=31536000"],
    ["max-age=31536000; includeSubDomains; preload", "max-age=31536000"],
    ["INCLUDESUBDOMAINS;max-age=1", "max-age=1"],
    ["includeSubDomains=x; max-age=1", "max-age=1"],
    ["includeSubDomains", null],
  ])("Strict-Transport-Security %p passes as %p", (value, expected) => {
    expect(passed("wildcard", "strict-transport-security", value)).toBe(expected);
  });

  test.each([
    ["clear", HOST, "clear"],
    ['h3=":8443"; ma=86400, h2="lab.apps.example:8443"', HOST, 'h3=":8443"; ma=86400, h2="lab.apps.example:8443"'],
    ['h3=":443", h3=":8443"', HOST, 'h3=":8443"'],
    ['h3="evil.example:8443", h2="other.apps.example:8443"', HOST, null],
    ['h3=":443"; ma=1', "lab.apps.example", 'h3=":443"; ma=1'],
    ['h3=":443";x="a,h2=":443"', "lab.apps.example", 'h3=":443";x="a, h2=":443"'],
    ['h3=":443"', "[", null],
    ["nonsense", HOST, null],
  ])("Alt-Svc %p at %s passes as %p", (value, host, expected) => {
    expect(passed("wildcard", "alt-svc", value, host)).toBe(expected);
  });

  test.each(["nel", "report-to"])("%s passes without what is for subdomains", (name) => {
    const [own, more] = ['{"group":"a","max_age":1}', '{"max_age":1,"include_subdomains":true}'];
    expect(passed("wildcard", name, own)).toBe(own);
    expect(passed("wildcard", name, `${more}, ${own}`)).toBe(own);
    expect(["", more, "{", "5", "null"].map((value) => passed("wildcard", name, value))).toEqual(Array(5).fill(null));
    expect(passed("wildcard", name, '{"include_subdomains":false}')).toBe('{"include_subdomains":false}');
  });

  test.each(["nel", "report-to"])("%s passes as ASCII: no character of it may become the end of a line", (name) => {
    const escaped = String.raw`{"a":"\u010d\u010aSet-Cookie: x=1\ud83d\ude00\r\n\u007f"}`;
    expect(passed("wildcard", name, escaped)).toBe(escaped);
  });
});
