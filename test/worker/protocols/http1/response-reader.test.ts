import { describe, expect, test } from "bun:test";
import { AnswerReader } from "../../../../worker/protocols/http1/response-reader.ts";

interface Seen {
  status: number;
  reason: string;
  headers: [string, string][];
  body: string;
  /** True when the body is whole. */
  ended: boolean;
  /** What follows a head that is no HTTP any more. */
  rest: string | null;
}

/** Reads the parts, then the end of the connection when it is told so. Throws what the reader throws. */
function read(parts: Iterable<Buffer>, closes = false): Seen {
  const seen: Seen = { status: 0, reason: "", headers: [], body: "", ended: false, rest: null };
  const reader = new AnswerReader({
    head({ status, statusText, headers }) {
      Object.assign(seen, { status, reason: statusText, headers: [...headers] });
      return status !== 101;
    },
    body: (bytes) => void (seen.body += bytes.toString("latin1")),
    end: () => void (seen.ended = true),
  });
  for (const part of parts) {
    const rest = reader.read(part);
    if (rest !== null && seen.status === 101) seen.rest = (seen.rest ?? "") + rest.toString("latin1");
    // A socket's memory is used again for what comes next.
    part.fill(0xee);
  }
  if (closes) reader.ended();
  return seen;
}

function* cut(text: string, length: number): Generator<Buffer> {
  for (let at = 0; at < text.length; at += length) yield Buffer.from(text.slice(at, at + length), "latin1");
}

const whole = (text: string, closes = false) => read(cut(text, text.length), closes);

const HEAD = "HTTP/1.1 403 Not you\r\nX-A: 1\r\n";

/** Answers that end by themselves or with the connection. */
const ANSWERS: [name: string, text: string, closes: boolean, seen: Partial<Seen>][] = [
  ["with Content-Length", `${HEAD}Content-Length: 5\r\n\r\nhello`, false, { body: "hello" }],
  ["with Content-Length 0", `${HEAD}Content-Length: 0\r\n\r\n`, false, { body: "" }],
  ["with more than its Content-Length", `${HEAD}Content-Length: 5\r\n\r\nhelloHTTP/1.1 200`, false, { body: "hello" }],
  ["in chunks", `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n`, false, { body: "hello!" }],
  ["in chunks with extensions and trailers", `${HEAD}Transfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n00A ;x\r\n0123456789\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n`, false, { body: "hello0123456789" }],
  ["in chunks, whatever its Content-Length", `${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, false, { body: "hello" }],
  ["until the connection ends", `${HEAD}\r\nfor good`, true, { body: "for good" }],
  ["after interim answers", `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n${HEAD}Content-Length: 1\r\n\r\n.`, false, { body: "." }],
  ["of HTTP/1.0 without a reason", "HTTP/1.0 403\r\nX-A: 1\r\nContent-Length: 1\r\n\r\n.", false, { body: ".", reason: "" }],
]; // prettier-ignore

describe("an answer", () => {
  for (const [name, text, closes, seen] of ANSWERS)
    test(`${name} is read however it is cut`, () => {
      for (let length = 1; length <= text.length; length++) {
        const found = read(cut(text, length), closes);
        expect(found).toMatchObject({ status: 403, reason: "Not you", ended: true, ...seen });
        expect(found.headers.find(([one]) => one === "x-a")).toEqual(["x-a", "1"]);
      }
    });

  test.each([204, 304])("%d has no body", (status) => {
    expect(whole(`HTTP/1.1 ${status} No\r\nContent-Length: 7\r\n\r\n`)).toMatchObject({
      status,
      body: "",
      ended: true,
    });
  });

  test("101 is no HTTP behind its head", () => {
    const text = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x05hello";
    for (let length = 1; length <= text.length; length++)
      expect(read(cut(text, length))).toMatchObject({ status: 101, rest: "\x81\x05hello", body: "" });
  });

  test("keeps the bytes of header values, and lines that repeat", () => {
    const { headers } = whole("HTTP/1.1 200 OK\r\nX-A: \t caf\xc3\xa9 \xc3\xa0 \t\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"); // prettier-ignore
    expect(headers).toEqual([["content-length", "0"], ["x-a", "caf\xc3\xa9 \xc3\xa0"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]]); // prettier-ignore
  });

  test.each([
    ["with Content-Length", `${HEAD}Content-Length: 5\r\n\r\nhell`],
    ["in a chunk", `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhell`],
    ["between chunks", `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`],
    ["before the last line", `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n`],
    ["in its head", HEAD],
    ["before its first byte", ""],
  ])("that breaks off %s is told", (_, text) => {
    expect(() => read(cut(text, 10), true)).toThrow("the app broke its answer off");
  });

  test.each([
    ["another protocol", "SSH-2.0-OpenSSH\r\n\r\n"],
    ["HTTP/2", "HTTP/2 200\r\n\r\n"],
    ["no status", "HTTP/1.1 OK\r\n\r\n"],
    ["a header line without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"],
    ["a header line without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n"],
    ["a name with a space", "HTTP/1.1 200 OK\r\nX A: x\r\n\r\n"],
    ["a folded line", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2: 3\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    ["a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
    ["a coding that nobody asked for", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
    ["a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n"],
    ["a negative chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"],
    ["a chunk that is longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"],
    ["an endless head", `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(70_000)}`],
    ["a head of over 64 KiB", `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(70_000)}\r\n\r\n`],
    ["an endless line of a chunk", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${"a".repeat(10_000)}`],
  ])("with %s is refused", (_, text) => {
    expect(() => whole(text)).toThrow();
    expect(() => read(cut(text, 1000))).toThrow();
  });

  test("of megabytes is told as it comes", () => {
    let told = 0;
    const reader = new AnswerReader({
      head: () => true,
      body: (bytes) => void (told += bytes.length),
      end: () => undefined,
    });
    reader.read(Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n"));
    for (let n = 1; n <= 100; n++) {
      reader.read(Buffer.alloc(1024 * 1024));
      expect(told).toBe(n * 1024 * 1024);
    }
  });
});
