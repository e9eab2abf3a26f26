/** The model of requests against cases written by hand from RFC 9112, a line each: what is accepted, and why it stops. */
import { describe, expect, test } from "bun:test";
import { passing, readRequests } from "./requests.ts";

const HOST = "Host: me\r\n";
const get = (line: string, fields = HOST) => `${line}\r\n${fields}\r\n`;
const chunks = (body: string) => `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`;
const length = (value: string) => `POST / HTTP/1.1\r\n${HOST}Content-Length: ${value}\r\n\r\nhello`;

/** What was accepted, and the stop. */
function told(input: string): string {
  const { requests, stop } = readRequests(input);
  const each = requests.map(
    ({ method, target, body, trailers, refusedWith }) =>
      `${method} ${target}${refusedWith === null ? "" : ` ${refusedWith}`}${body === "" ? "" : ` "${body}"`}${trailers.map(({ name, value }) => ` ${name}=${value}`).join("")}`,
  );
  const why = stop.kind === "refused" ? `refused ${stop.status}` : stop.kind;
  return [...each, "asked" in stop && stop.asked !== null ? `${why} in ${stop.asked.target}` : why].join(", ");
}

describe("RFC 9112 §2.2, §3: lines", () => {
  test.each([
    [get("GET /a HTTP/1.1"), "GET /a, whole"],
    [`\r\n\r\n${get("GET /a HTTP/1.1")}\r\n`, "GET /a, whole"],
    [get("GET /a HTTP/1.1") + get("GET /b HTTP/1.1"), "GET /a, GET /b, whole"],
    ["GET / HTTP/1.1\nHost: me\n\n\r\n\r\n", "refused 400"],
    ["\nGET / HTTP/1.1\r\nHost: me\r\n\r\n", "refused 400"],
    [get("GET  / HTTP/1.1"), "refused 400"],
    [get("GET / HTTP/1.1 "), "refused 400"],
    [get(" GET / HTTP/1.1"), "refused 400"],
    [get("GET\t/ HTTP/1.1"), "refused 400"],
    [get("GET /a b HTTP/1.1"), "refused 400"],
    [get("GET /"), "refused 400"],
    [get("G(T / HTTP/1.1"), "refused 400"],
    [get("FROBNICATE / HTTP/1.1"), "FROBNICATE /, whole"],
    [get("GET /\x00 HTTP/1.1"), "refused 400"],
    ["GET / HT", "partial"],
    ["", "whole"],
    [`GET / HTTP/1.1\r\nX: ${"a".repeat(65_536)}`, "refused 400"],
  ])("%j: %s", (input, expected) => expect(told(input)).toBe(expected));
});

describe("RFC 9112 §2.3: versions", () => {
  test.each([
    ["HTTP/1.0", "GET /, closed"],
    ["HTTP/1.9", "GET /, whole"],
    ["HTTP/2.0", "refused 505"],
    ["HTTP/0.9", "refused 505"],
    ["http/1.1", "refused 400"],
    ["HTTP/1.10", "refused 400"],
    ["HTTP/11", "refused 400"],
  ])("%s: %s", (version, expected) => expect(told(get(`GET / ${version}`))).toBe(expected));
});

describe("RFC 9112 §3.2: targets and Host", () => {
  test.each([
    [get("GET http://me/a"), "refused 400"],
    [get("GET http://me/a HTTP/1.1"), "GET /a, whole"],
    [get("GET HTTPS://ME?q HTTP/1.1"), "GET /?q, whole"],
    [get("OPTIONS http://me HTTP/1.1"), "OPTIONS *, whole"],
    [get("GET http://you/ HTTP/1.1"), "refused 400"],
    [get("OPTIONS * HTTP/1.1"), "OPTIONS *, whole"],
    [get("GET * HTTP/1.1"), "refused 400"],
    [get("GET me:80 HTTP/1.1"), "refused 400"],
    [get("CONNECT me:80 HTTP/1.1"), "CONNECT me:80 405, whole"],
    [get("GET / HTTP/1.1", ""), "refused 400"],
    [get("GET / HTTP/1.0", ""), "GET /, closed"],
    [get("GET / HTTP/1.1", HOST + HOST), "refused 400"],
    [get("GET / HTTP/1.1", "Host: a b\r\n"), "GET / 400, whole"],
    [get("GET / HTTP/1.1", "Host: u@me\r\n"), "GET / 400, whole"],
    [get("GET / HTTP/1.1", "Host: [::1]:80\r\n"), "GET /, whole"],
    [get("GET http:/// HTTP/1.1", "Host:\r\n"), "GET / 400, whole"],
  ])("%j: %s", (input, expected) => expect(told(input)).toBe(expected));
});

describe("RFC 9112 §5: fields", () => {
  test.each(["X : a", " X: a", ": a", "X", "X: a\r\n b", "X: \x00", "X: a\rb", "X: a\nY: b", "X: \x7f", "X\x80: a", "(: a"])(
    "%j is refused",
    (line) => expect(told(get("GET / HTTP/1.1", `${HOST}${line}\r\n`))).toBe("refused 400"),
  ); // prettier-ignore
  test.each(["X:a", "X:", "X: \t a \t", "X: \x80\xff", "!#$%&'*+-.^_`|~: a", "X: a:b"])("%j is accepted", (line) =>
    expect(told(get("GET / HTTP/1.1", `${HOST}${line}\r\n`))).toBe("GET /, whole"),
  );
});

describe("RFC 9112 §6: the end of a body", () => {
  test.each([
    [length("5"), 'POST / "hello", whole'],
    [length("005"), 'POST / "hello", whole'],
    [length("6"), "partial in /"],
    [length("4"), 'POST / "hell", partial'],
    [length("5, 5"), "refused 400"],
    [length("5\r\nContent-Length: 5"), "refused 400"],
    [length("+5"), "refused 400"],
    [length("0x5"), "refused 400"],
    [length(""), "refused 400"],
    [length("5\r\nTransfer-Encoding: chunked"), "refused 400"],
    [length("9".repeat(20)), "refused 400"],
  ])("%j: %s", (input, expected) => expect(told(input)).toBe(expected));

  test.each(["chunked, chunked", "identity", "gzip, chunked", "xchunked", '"chunked"', "chunked,", "\x0bchunked", ""])(
    "Transfer-Encoding: %j is refused",
    (coding) => expect(told(chunks("0\r\n\r\n").replace("chunked", coding))).toBe("refused 400"),
  );

  test("nor has HTTP/1.0 chunks", () => {
    expect(told(chunks("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"))).toBe("refused 400");
  });
});

describe("RFC 9112 §7.1: chunks", () => {
  test.each([
    ["5\r\nhello\r\n0\r\n\r\n", 'POST / "hello", whole'],
    ["00005;a=b\r\nhello\r\n000\r\n\r\n", 'POST / "hello", whole'],
    ['A ;a="b;c"\r\nhellohello\r\n0\r\n\r\n', 'POST / "hellohello", whole'],
    ["0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", "POST / x-a=1 x-b=2, whole"],
    ["5\r\nhel", "partial in /"],
    ["5\r\nhello\r\n0\r\n", "partial in /"],
    ["5\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    ["5\r\nhello\n0\r\n\r\n", "refused 400 in /"],
    ["5\r\nhello0\r\n\r\n", "refused 400 in /"],
    ["4\r\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    ["+5\r\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    ["0x5\r\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    [" 5\r\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    ["\r\n", "refused 400 in /"],
    ["5;a\rb\r\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    ["5;a\n\r\nhello\r\n0\r\n\r\n", "refused 400 in /"],
    [`${"f".repeat(17)}\r\n`, "refused 400 in /"],
    ["0\r\nX : a\r\n\r\n", "refused 400 in /"],
    ["0\r\nX: a\n\r\n", "refused 400 in /"],
    ["0\r\n folded\r\n\r\n", "refused 400 in /"],
  ])("%j: %s", (body, expected) => expect(told(chunks(body))).toBe(expected));
});

describe("RFC 9112 §9.3: what follows", () => {
  const next = get("GET /next HTTP/1.1");
  test.each([
    ["Connection: close", "GET /, closed"],
    ["Connection: x, CLOSE", "GET /, closed"],
    ["Connection: x\r\nConnection: close", "GET /, closed"],
    ["Connection: closed", "GET /, GET /next, whole"],
  ])("%s: %s", (line, expected) =>
    expect(told(get("GET / HTTP/1.1", `${HOST}${line}\r\n`) + next)).toBe(expected),
  ); // prettier-ignore

  test("HTTP/1.0 goes on where it asks for it", () => {
    expect(told(get("GET / HTTP/1.0", "Connection: keep-alive\r\n") + next)).toBe("GET /, GET /next, whole");
  });
});

test("RFC 9110 §7.6.1: what Connection names ends here, but for what says whose and how long a message is", () => {
  const { requests } = readRequests(
    get("GET / HTTP/1.1", `${HOST}Connection: X-A, Cookie\r\nX-A: 1\r\nX-B: 2\r\nCookie: c\r\nTE: trailers\r\n`),
  );
  expect(requests.map(passing)).toEqual([["x-b: 2", "cookie: c"]]);
});
