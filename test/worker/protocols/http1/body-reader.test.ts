/** A body is followed to its end, however it is cut: nothing of it is lost, and nothing behind it is taken. */
import { describe, expect, test } from "bun:test";
import { BodyReader } from "../../../../worker/protocols/http1/body-reader.ts";
import type { Framing } from "../../../../worker/protocols/http1/framing.ts";
import { BadHead } from "../../../../worker/protocols/http1/head.ts";

interface Seen {
  bytes: string;
  /** Null while the body is not whole. */
  trailers: [string, string | null][] | "none" | null;
  /** How many bytes were of the body. */
  used: number;
}

/** Reads a text in pieces of so many bytes. */
function read(framing: Framing, text: string, length: number, chunks = false): Seen {
  const seen: Seen = { bytes: "", trailers: null, used: 0 };
  const reader = new BodyReader(framing, chunks, {
    bytes: (bytes, from, to) => void (seen.bytes += bytes.toString("latin1", from, to)),
    end: (lines) => void (seen.trailers = lines === null ? "none" : lines.names.map((name) => [name, lines.get(name)])),
  });
  for (let at = 0; at < text.length && !reader.isOver; at += length) {
    const piece = Buffer.from(text.slice(at, at + length), "latin1");
    seen.used += reader.read(piece);
    // A socket's memory is used again for what comes next.
    piece.fill(0xee);
  }
  return seen;
}

const CHUNKED: Framing = { kind: "chunked" };
const BODY = '5\r\nhello\r\n00a;x="y"\r\n0123456789\r\n1 ;\r\n!\r\n';

describe.each([1, 2, 3, 5, 7, 1000])("in pieces of %d", (length) => {
  test("a length is counted, and what follows is another message's", () => {
    expect(read({ kind: "length", length: 5 }, "helloGET /", length)).toEqual({
      bytes: "hello",
      trailers: "none",
      used: 5,
    });
    expect(read({ kind: "length", length: 6 }, "hello", length)).toMatchObject({ bytes: "hello", trailers: null });
  });

  test("chunks are taken apart", () => {
    expect(read(CHUNKED, `${BODY}0\r\n\r\nGET /`, length)).toEqual({
      bytes: "hello0123456789!",
      trailers: "none",
      used: BODY.length + 5,
    });
  });

  test("chunks pass as they are, but for the last", () => {
    expect(read(CHUNKED, `${BODY}0;last\r\n\r\nGET /`, length, true)).toEqual({
      bytes: BODY,
      trailers: "none",
      used: BODY.length + 10,
    });
    expect(read(CHUNKED, BODY.slice(0, 7), length, true)).toMatchObject({ bytes: BODY.slice(0, 7), trailers: null });
  });

  test("trailers are told together, with the end", () => {
    const text = `${BODY}0\r\nX-Sum: 1\r\nX-More:2\r\n\r\n`;
    for (const chunks of [true, false])
      expect(read(CHUNKED, `${text}more`, length, chunks)).toMatchObject({
        trailers: [
          ["x-sum", "1"],
          ["x-more", "2"],
        ],
        used: text.length,
      });
  });

  test.each([
    ["a size with a sign", "+5\r\nhello\r\n"],
    ["a size with a space before it", " 5\r\nhello\r\n"],
    ["a size with a space behind it", "5 \r\nhello\r\n"],
    ["a size in 0x", "0x5\r\nhello\r\n"],
    ["no size", "\r\nhello\r\n"],
    ["a size of fourteen digits", "00000000000005\r\nhello\r\n"],
    ["a size that ends with LF", "5\nhello\r\n"],
    ["a size with a bare CR in it", "5\r;x\r\nhello\r\n"],
    ["NUL in an extension", "5;\0\r\nhello\r\n"],
    ["more bytes than its size", "5\r\nhello!\r\n"],
    ["fewer bytes than its size", "5\r\nhell\r\n0\r\n\r\n"],
    ["LF behind its bytes", "5\r\nhello\n0\r\n\r\n"],
    ["a trailer that is none", "0\r\nX Sum\r\n\r\n"],
    ["a trailer that ends with LF", "0\r\nX-Sum: 1\n\r\n"],
    ["an end with LF", "0\r\n\n"],
    ["an extension without end", `5;${"x".repeat(5000)}\r\nhello\r\n`],
    ["trailers without end", `0\r\n${"X: 1\r\n".repeat(12_000)}\r\n`],
  ])("%s is refused", (_what, text) => {
    for (const chunks of [true, false]) expect(() => read(CHUNKED, text, length, chunks)).toThrow(BadHead);
  });
});

test("a message without a body is over before it begins, and takes nothing", () => {
  for (const framing of [{ kind: "none" }, { kind: "length", length: 0 }] as const) {
    const reader = new BodyReader(framing, true, {
      bytes: () => expect.unreachable(),
      end: () => expect.unreachable(),
    });
    expect([reader.isOver, reader.read(Buffer.from("GET /")), reader.closed()]).toEqual([true, 0, true]);
  }
});

test("a body that ends with its connection is whole then, and no other one is", () => {
  const ended: string[] = [];
  const of = (framing: Framing) =>
    new BodyReader(framing, false, { bytes: () => undefined, end: () => ended.push(framing.kind) });
  for (const [framing, isWhole] of [
    [{ kind: "close" }, true],
    [{ kind: "length", length: 9 }, false],
    [CHUNKED, false],
  ] as const) {
    const reader = of(framing);
    reader.read(Buffer.from("1\r\nx\r\n"));
    expect(reader.closed()).toBe(isWhole);
  }
  expect(ended).toEqual(["close"]);
});
