/** How a body's end is told (RFC 9112 6.3): what can be read in two ways is refused. */
import { describe, expect, test } from "bun:test";
import { answerFraming, persists, requestFraming } from "../../../../worker/protocols/http1/framing.ts";
import { BadHead, parseAnswer, parseRequest } from "../../../../worker/protocols/http1/head.ts";

const request = (fields: string, version = "1.1") => parseRequest(`POST / HTTP/${version}\r\n${fields}`);
const answer = (fields: string, status = 200) => parseAnswer(`HTTP/1.1 ${status} X\r\n${fields}`);

describe("of a request", () => {
  test.each([
    ["", { kind: "none" }],
    ["Content-Length: 0\r\n", { kind: "length", length: 0 }],
    ["content-length: 123456789012345\r\n", { kind: "length", length: 123_456_789_012_345 }],
    ["Transfer-Encoding: chunked\r\n", { kind: "chunked" }],
    ["Transfer-Encoding:  CHUNKED \r\n", { kind: "chunked" }],
  ] as const)("%p", (fields, framing) => {
    expect(requestFraming(request(fields))).toEqual(framing);
  });

  test.each([
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length: \r\n",
    "Content-Length: 1234567890123456\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    'Transfer-Encoding: "chunked"\r\n',
    "Transfer-Encoding: \r\n",
  ])("%p is refused", (fields) => {
    expect(() => requestFraming(request(fields))).toThrow(BadHead);
  });

  test("of HTTP/1.0 there are no chunks", () => {
    expect(() => requestFraming(request("Transfer-Encoding: chunked\r\n", "1.0"))).toThrow(BadHead);
    expect(requestFraming(request("Content-Length: 3\r\n", "1.0"))).toEqual({ kind: "length", length: 3 });
  });
});

describe("of an answer", () => {
  test.each([
    ["Content-Length: 5\r\n", "GET", 200, { kind: "length", length: 5 }],
    ["Transfer-Encoding: chunked\r\n", "GET", 200, { kind: "chunked" }],
    // RFC 9112 6.3, 3: the length says nothing then.
    ["Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "GET", 200, { kind: "chunked" }],
    ["", "GET", 200, { kind: "close" }],
    ["Content-Length: 5\r\n", "HEAD", 200, { kind: "none" }],
    ["Transfer-Encoding: chunked\r\n", "HEAD", 200, { kind: "none" }],
    ["", "GET", 204, { kind: "none" }],
    ["Content-Length: 5\r\n", "GET", 304, { kind: "none" }],
    ["", "GET", 103, { kind: "none" }],
    ["", "GET", 205, { kind: "none" }],
    ["Content-Length: 0\r\n", "GET", 205, { kind: "length", length: 0 }],
  ] as const)("%p to %s with %d", (fields, method, status, framing) => {
    expect(answerFraming(answer(fields, status), method)).toEqual(framing);
  });

  test.each(["Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n"])(
    "%p is refused",
    (fields) => {
      expect(() => answerFraming(answer(fields), "GET")).toThrow(BadHead);
    },
  ); // prettier-ignore
});

test.each([
  ["1.1", "", true],
  ["1.1", "Connection: close\r\n", false],
  ["1.1", "Connection: X, Close\r\n", false],
  ["1.1", "Connection: keep-alive\r\n", true],
  ["1.0", "", false],
  ["1.0", "Connection: Keep-Alive\r\n", true],
  ["1.0", "Connection: keep-alive, close\r\n", false],
])("a connection of HTTP/%s with %p goes on: %p", (version, fields, goesOn) => {
  expect(persists(request(fields, version))).toBe(goesOn);
});
