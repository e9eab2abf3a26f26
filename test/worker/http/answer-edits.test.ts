/** What of an app's answer headers reaches the client, and what comes besides. */
import { describe, expect, test } from "bun:test";
import { answerEdits, type AnswerWishes } from "../../../worker/http/answer-edits.ts";
import { ANSWER_RULES } from "../../../worker/http/answer-rules.ts";
import { edited } from "../../../worker/protocols/http1/edited.ts";

const PERMIT: [string, string] = ["Set-Cookie", "appproxy_permit_c1c1c1c1=new"];
const CORS: [string, string] = ["Access-Control-Allow-Origin", "*"];

/** The lines that the client gets of these. */
function passed(lines: [string, string][], over: Partial<AnswerWishes> = {}, status = 200): [string, string][] {
  const wishes = {
    add: [],
    cors: [],
    policy: [],
    frames: [],
    rules: ANSWER_RULES.wildcard,
    host: "app.example",
    ...over,
  };
  const headers = new Headers();
  for (const [name, value] of lines) headers.append(name, value);
  return edited(headers, answerEdits(headers, status, wishes));
}

test("an answer that needs no change gets none", () => {
  const headers = new Headers([["Content-Type", "a/b"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2; Path=/"]]); // prettier-ignore
  const wishes = { add: [], cors: [], policy: [], frames: [], rules: ANSWER_RULES.port, host: "app.example" };
  expect(answerEdits(headers, 200, wishes)).toEqual({ remove: [], set: [], add: [] });
});

test("what speaks of one connection ends at the worker, with what its Connection names", () => {
  const lines: [string, string][] = [
    ["Connection", "close, X-Hop"],
    ["Keep-Alive", "timeout=5"],
    ["Proxy-Authenticate", "Basic"],
    ["X-Hop", "1"],
    ["X-End", "2"],
  ];
  expect(passed(lines)).toEqual([["x-end", "2"]]);
});

test("what reaches further than the circuit is cut to it, or dropped", () => {
  const lines: [string, string][] = [
    ["Strict-Transport-Security", "max-age=1; includeSubDomains"],
    ["Public-Key-Pins", "x"],
  ];
  expect(passed(lines)).toEqual([["strict-transport-security", "max-age=1"]]);
  expect(passed(lines, { rules: ANSWER_RULES.port })).toEqual([]);
});

describe("cookies", () => {
  test("are guarded one by one and keep their order, the worker's come last", () => {
    const lines: [string, string][] = ["a=1", "appproxy_permit=x", "b=2; Domain=example"].map((one) => [
      "Set-Cookie",
      one,
    ]);
    expect(passed(lines, { add: [PERMIT] })).toEqual([["set-cookie", "a=1"], ["set-cookie", "b=2"], PERMIT]);
  });

  test("that pass as they are stay beside the worker's", () => {
    expect(passed([["Set-Cookie", "a=1"]], { add: [PERMIT] })).toEqual([["set-cookie", "a=1"], PERMIT]);
  });
});

describe("the policy of who may load it comes", () => {
  const POLICY: [string, string] = ["Cross-Origin-Resource-Policy", "same-origin"];

  test("where the app says nothing of it", () => {
    expect(passed([["Access-Control-Allow-Origin", "*"]], { cors: [CORS], policy: [POLICY] })).toEqual([["access-control-allow-origin", "*"], POLICY]); // prettier-ignore
  });

  test.each([
    ["DENY", false],
    ["sameorigin", false],
    ["ALLOW-FROM https://a.example", true],
    ["ALLOW-FROM https://deny.example", true],
    ["deny-not", true],
    ["ALLOWALL, DENY", false],
  ])("and that of frames not where the app forbids them: %s", (value, isAdded) => {
    const frames: [string, string] = ["Content-Security-Policy", "frame-ancestors 'self'"];
    const own: [string, string] = ["x-frame-options", value];
    expect(passed([own], { frames: [frames] })).toEqual(isAdded ? [own, frames] : [own]);
  });

  test("not where it does", () => {
    const own: [string, string] = ["cross-origin-resource-policy", "cross-origin"];
    expect(passed([own], { policy: [POLICY] })).toEqual([own]);
  });
});

describe("a 304, which takes the place of what a cache has,", () => {
  const POLICY: [string, string] = ["Cross-Origin-Resource-Policy", "same-origin"];
  const FRAMES: [string, string] = ["Content-Security-Policy", "frame-ancestors 'self'"];
  const update = (lines: [string, string][]) => passed(lines, { policy: [POLICY], frames: [FRAMES], cors: [CORS] }, 304); // prettier-ignore

  test("has no policy of the worker's where it has none of the app's", () => {
    expect(update([["etag", "x"]])).toEqual([["etag", "x"], CORS]);
  });

  test("has that of frames beside the app's", () => {
    const own: [string, string] = ["content-security-policy", "default-src 'self'"];
    expect(update([own])).toEqual([own, CORS, FRAMES]);
  });
});

describe("CORS lines come", () => {
  test("where the app says nothing of it", () => {
    expect(passed([["X-A", "1"]], { cors: [CORS] })).toEqual([["x-a", "1"], CORS]);
  });

  test("not where it does", () => {
    const own: [string, string] = ["access-control-allow-origin", "https://a.example"];
    expect(passed([own], { cors: [CORS] })).toEqual([own]);
  });

  test("where what it says ends at the worker", () => {
    const lines: [string, string][] = [["Access-Control-Allow-Origin", "null"], ["Connection", "access-control-allow-origin"]]; // prettier-ignore
    expect(passed(lines, { cors: [CORS] })).toEqual([CORS]);
  });
});
