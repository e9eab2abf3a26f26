/** Heads of HTTP/1: what RFC 9112 allows is read as it stands, and nothing else is. */
import { describe, expect, test } from "bun:test";
import { BadHead, parseAnswer, parseFields, parseRequest } from "../../../../worker/protocols/http1/head.ts";

const fault = (work: () => unknown): [number, string] | null => {
  try {
    work();
    return null;
  } catch (error) {
    if (!(error instanceof BadHead)) throw error;
    return [error.status, error.message];
  }
};

describe("a request line", () => {
  test.each([
    ["GET / HTTP/1.1", "GET", "/", "1.1"],
    ["FROBNICATE /a//b/../c?x=%2F HTTP/1.0", "FROBNICATE", "/a//b/../c?x=%2F", "1.0"],
    ["M-SEARCH * HTTP/1.1", "M-SEARCH", "*", "1.1"],
    ["get http://h/p HTTP/1.1", "get", "http://h/p", "1.1"],
    ["GET /caf\u00e9\u00ff HTTP/1.1", "GET", "/caf\u00e9\u00ff", "1.1"],
    ['GET /"<>^`{|}\\ HTTP/1.1', "GET", '/"<>^`{|}\\', "1.1"],
    // RFC 9112 §2.3: a higher minor version is taken for the highest that is known.
    ["GET / HTTP/1.9", "GET", "/", "1.1"],
  ])("%p is read as it stands", (line, method, target, version) => {
    expect(parseRequest(`${line}\r\n`)).toMatchObject({ method, target, version });
  });

  test.each([
    ["two spaces", "GET  / HTTP/1.1"],
    ["a tab", "GET\t/ HTTP/1.1"],
    ["no target", "GET HTTP/1.1"],
    ["an empty target", "GET  HTTP/1.1"],
    ["a space in the target", "GET /a b HTTP/1.1"],
    ["a fragment", "GET /a#b HTTP/1.1"],
    ["no version (HTTP/0.9)", "GET /"],
    ["a version in small letters", "GET / http/1.1"],
    ["a version of three parts", "GET / HTTP/1.1.1"],
    ["a version of two digits", "GET / HTTP/1.10"],
    ["a space behind it", "GET / HTTP/1.1 "],
    ["a space before it", " GET / HTTP/1.1"],
    ["a method that is no token", "G(ET / HTTP/1.1"],
    ["NUL in the target", "GET /\0 HTTP/1.1"],
    ["DEL in the target", "GET /\x7f HTTP/1.1"],
    ["a bare CR", "GET /\r HTTP/1.1"],
    ["nothing", ""],
  ])("with %s is refused", (_what, line) => {
    expect(fault(() => parseRequest(`${line}\r\n`))?.[0]).toBe(400);
  });

  test.each(["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"])("of %s is refused with 505", (version) => {
    expect(fault(() => parseRequest(`GET / ${version}\r\n`))?.[0]).toBe(505);
  });
});

describe("a status line", () => {
  test.each([
    ["HTTP/1.1 200 OK", 200, "OK"],
    ["HTTP/1.0 404 Not here, sorry", 404, "Not here, sorry"],
    ["HTTP/1.1 204 ", 204, ""],
    ["HTTP/1.1 204", 204, ""],
    ["HTTP/1.1 799 \u00fcber", 799, "\u00fcber"],
  ])("%p is read as it stands", (line, status, reason) => {
    expect(parseAnswer(`${line}\r\n`)).toMatchObject({ status, reason });
  });

  test.each(["HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1 abc", "HTTP/1.1 099 Low", "ICY 200 OK", "200 OK", "HTTP/1.1 200 O\0K"])(
    "%p is refused",
    (line) => {
      expect(fault(() => parseAnswer(`${line}\r\n`))).not.toBeNull();
    },
  ); // prettier-ignore
});

describe("field lines", () => {
  test("keep order, case, repeats and bytes; values lose the spaces around them", () => {
    const lines = parseFields("B: 2\r\na:\t1 \r\nb:3\r\nX: caf\u00e9\r\nempty:\r\n");
    expect(lines.names).toEqual(["b", "a", "b", "x", "empty"]);
    expect([lines.get("b"), lines.all("b"), lines.get("a"), lines.get("x"), lines.get("empty"), lines.get("c")]).toEqual(["2, 3", ["2", "3"], "1", "caf\u00e9", "", null]); // prettier-ignore
  });

  test("lose spaces and tabs, and no byte of UTF-8 that a program would take for a space", () => {
    expect(parseFields("A: \t \xc3\xa0 \t\r\nB:\x85x\xa0\r\n").pairs()).toEqual([["a", "\xc3\xa0"], ["b", "\x85x\xa0"]]); // prettier-ignore
  });

  test("of cookies are joined as cookies are", () => {
    expect(parseFields("Cookie: a=1\r\nCookie: b=2\r\n").get("cookie")).toBe("a=1; b=2");
  });

  test.each([
    ["a space before the colon", "A : 1"],
    ["no colon", "A 1"],
    ["no name", ": 1"],
    ["a name that is no token", "A{B}: 1"],
    ["a folded line", "A: 1\r\n b"],
    ["a line that is folded at once", " A: 1"],
    ["NUL", "A: 1\0"],
    ["a bare CR", "A: 1\r2"],
    ["a bare LF", "A: 1\n2"],
    ["another control character", "A: \x01"],
    ["an empty line within", "A: 1\r\n\r\nB: 2"],
  ])("with %s are refused", (_what, text) => {
    expect(fault(() => parseFields(`${text}\r\n`))?.[0]).toBe(400);
  });

  test("name what is wrong, never its value", () => {
    const [, message] = fault(() => parseFields("Host: a\r\nAuthorization: sec\0ret\r\n")) ?? [];
    expect(message).toBe(
      "Header line 2 (Authorization): wanted a name, a colon and a value, without control characters",
    );
  });

  test("of an answer may have a space before the colon, which is taken out (RFC 9112 5.1)", () => {
    const { lines } = parseAnswer("HTTP/1.1 200 OK\r\nA : 1\r\nB: x : y\r\n");
    expect(lines.text).toBe("A: 1\r\nB: x : y\r\n");
  });

  test("of a hundred thousand hostile bytes take no time to be refused", () => {
    const long = "x".repeat(60_000);
    const began = performance.now();
    for (const text of [
      `${long}\r\n`,
      `A: ${long}\0\r\n`,
      `${"a:b\r\n".repeat(10_000)}c\r\n`,
      `${"\t".repeat(60_000)}\r\n`,
    ])
      expect(fault(() => parseFields(text))).not.toBeNull();
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

describe("changes", () => {
  const lines = parseFields(
    "Host: h\r\nX-Forwarded-For: 1\r\nCookie: a; b\r\nx-forwarded-for: 2\r\nX-Keep: 1\r\nTE: trailers\r\n",
  );

  test("leave all else as it came: what is set stands where it stood first, what is new comes last", () => {
    const text = lines.edited({
      remove: ["te"],
      set: [
        ["X-Forwarded-For", "9"],
        ["cookie", "b"],
        ["X-New", "n"],
      ],
      add: [["X-Keep", "2"]],
    });
    expect(text).toBe("Host: h\r\nX-Forwarded-For: 9\r\nCookie: b\r\nX-Keep: 1\r\nX-New: n\r\nX-Keep: 2\r\n");
  });

  test.each(["a\r\nX: 1", "a\n", "\0", "\u010a", "\u{1f600}"])("to %j are refused: it is no line of bytes", (value) => {
    expect(() => lines.edited({ remove: [], set: [["X-A", value]], add: [] })).toThrow("X-A");
    expect(() => lines.edited({ remove: [], set: [], add: [["X-A", value]] })).toThrow("X-A");
  });

  test("of ten thousand names in ten thousand lines take no time of note", () => {
    const many = parseFields(Array.from({ length: 10_000 }, (_, at) => `a${at}:\r\n`).join(""));
    const began = performance.now();
    expect(many.edited({ remove: many.names.toReversed(), set: [], add: [] })).toBe("");
    // The square of it took seconds.
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test("only those that pass are given", () => {
    expect(lines.only((name) => name.startsWith("x-"))).toBe(
      "X-Forwarded-For: 1\r\nx-forwarded-for: 2\r\nX-Keep: 1\r\n",
    );
  });

  test("of nothing are none", () => {
    expect(lines.edited({ remove: [], set: [], add: [] })).toBe(lines.text);
  });
});
