import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import {
  closePayload,
  FrameError,
  FrameReader,
  frameRoom,
  maskInPlace,
  OPCODE,
  writeFrame,
} from "../../../../worker/protocols/websocket/frames.ts";

const LIMIT = 1 << 20;

/** Lengths around which a frame's head changes its form. */
const LENGTHS = [0, 1, 2, 3, 4, 63, 64, 65, 125, 126, 127, 128, 511, 512, 513, 65_535, 65_536, 100_001];

type Told = [what: string, ...rest: unknown[]];

/** Reads the parts and gives what was told, with the code of the error that ended it. */
function read(parts: Iterable<Buffer>, limit = LIMIT): Told[] {
  const told: Told[] = [];
  const reader = new FrameReader(
    {
      message: (opcode, payload) => told.push([opcode === OPCODE.text ? "text" : "binary", payload.toString("latin1")]),
      ping: (payload) => told.push(["ping", payload.toString("latin1")]),
      pong: () => told.push(["pong"]),
      close: (code, reason) => told.push(["close", code, reason]),
    },
    limit,
  );
  try {
    for (const part of parts) {
      reader.read(part);
      // A socket's memory is used again for what comes next.
      part.fill(0xee);
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    told.push(["error", error.code]);
  }
  return told;
}

/** A frame as a server sends it. */
function served(opcode: number, payload: string | Buffer, final = true): Buffer {
  const content = Buffer.from(payload as string, "latin1");
  const { length } = content;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = (final ? 128 : 0) | opcode;
  head[1] = length < 126 ? length : length < 65_536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, content]);
}

/** The same bytes in parts of this length. */
function* parts(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield Buffer.from(bytes.subarray(at, at + length));
}

function unmasked(frame: Buffer): { head: string; payload: Buffer } {
  const second = frame[1] ?? 0;
  const start = (second & 127) < 126 ? 6 : (second & 127) === 126 ? 8 : 14;
  const payload = Buffer.from(frame.subarray(start));
  for (let at = 0; at < payload.length; at++) payload[at] = (payload[at] ?? 0) ^ (frame[start - 4 + (at & 3)] ?? 0);
  return { head: frame.subarray(0, start - 4).toString("hex"), payload };
}

/** Bytes in use here; a process's own memory depends on what ran in it before. */
function memory(): number {
  const { heapSize, extraMemorySize } = heapStats();
  return heapSize + extraMemorySize;
}

describe("a frame that is written", () => {
  test.each([
    [0, "8280"],
    [125, "82fd"],
    [126, "82fe007e"],
    [65_535, "82feffff"],
    [65_536, "82ff0000000000010000"],
  ])("has the shortest head: %d bytes", (length, head) => {
    const out = Buffer.alloc(frameRoom(Buffer.alloc(length)));
    const written = writeFrame(out, 0, OPCODE.binary, Buffer.alloc(length, 7));
    expect(unmasked(out.subarray(0, written))).toEqual({ head, payload: Buffer.alloc(length, 7) });
  });

  test.each([0, 1, 2, 3, 5])("is masked at any place in memory: %d", (at) => {
    for (const length of LENGTHS) {
      const payload = Buffer.from(Array.from({ length }, (_, n) => n * 31));
      const out = Buffer.alloc(at + frameRoom(payload));
      const written = writeFrame(out, at, OPCODE.binary, payload);
      expect(unmasked(out.subarray(at, at + written)).payload.equals(payload)).toBe(true);
      const place = Buffer.concat([Buffer.alloc(at), payload]).subarray(at);
      expect(unmasked(Buffer.concat([maskInPlace(OPCODE.binary, place), place])).payload.equals(payload)).toBe(true);
    }
  });

  test("holds text as UTF-8 within the room that was said", () => {
    for (const text of ["", "plain", "é€😀\uFEFF", "€".repeat(30_000)]) {
      const out = Buffer.alloc(frameRoom(text));
      const written = writeFrame(out, 0, OPCODE.text, text);
      expect(unmasked(out.subarray(0, written)).payload.toString()).toBe(text);
    }
  });

  test("has another mask every time, over thousands of frames", () => {
    const out = Buffer.alloc(16);
    const masks = new Set<string>();
    for (let n = 0; n < 5000; n++) {
      writeFrame(out, 0, OPCODE.ping, "");
      masks.add(out.toString("hex", 2, 6));
    }
    expect(masks.size).toBeGreaterThan(4990);
  });

  test.each([
    [1005, "", ""],
    [1000, "", "03e8"],
    [4000, "é", "0fa0c3a9"],
  ])("closes with %d %p", (code, reason, hex) => expect(closePayload(code, reason).toString("hex")).toBe(hex));

  test("closes with a reason that is cut where a character ends", () => {
    expect(closePayload(1000, "€".repeat(100)).toString("utf8", 2)).toBe("€".repeat(41));
  });
});

describe("frames that are read", () => {
  // RFC 6455 §5.7.
  test.each([
    ["a text message", "810548656c6c6f", [["text", "Hello"]]],
    ["a fragmented message", "010348656c80026c6f", [["text", "Hello"]]],
    ["a ping", "890548656c6c6f", [["ping", "Hello"]]],
    ["256 bytes", `827e0100${"61".repeat(256)}`, [["binary", "a".repeat(256)]]],
    ["64 KiB", `827f0000000000010000${"61".repeat(65_536)}`, [["binary", "a".repeat(65_536)]]],
    ["a ping between fragments", "010161890150000162800163", [["ping", "P"], ["text", "abc"]]],
    ["fragments of nothing", "0100000000008000", [["text", ""]]],
    ["a message after a fragmented one", "010161800162820163", [["text", "ab"], ["binary", "c"]]],
    ["a pong", "8a00", [["pong"]]],
    ["a length that is longer than needed", "827e000161", [["binary", "a"]]],
    ["a close without a code", "8800", [["close", 1005, ""]]],
    ["a close with a reason", "880503e8c3a961", [["close", 1000, "éa"]]],
    ["nothing behind a close", "8800810161", [["close", 1005, ""]]],
  ] as [string, string, Told[]][])("give %s, however they are cut", (_, hex, told) => {
    const bytes = Buffer.from(hex, "hex");
    for (const length of [1, 2, 3, 5, 7, 1000, bytes.length])
      expect(read(parts(bytes, length))).toEqual(told);
  }); // prettier-ignore

  test.each(LENGTHS)("give messages of %d bytes that are cut at every place near their ends", (length) => {
    const text = "0123456789abcdef".repeat(length / 16 + 1).slice(0, length);
    const all = Buffer.concat([served(1, text), served(2, text), served(1, "next")]);
    const told = [["text", text], ["binary", text], ["text", "next"]]; // prettier-ignore
    const places = Array.from({ length: 40 }, (_, at) => [at, length + at - 20, all.length - at]).flat();
    for (const at of places.filter((place) => place >= 0 && place <= all.length))
      expect(read([Buffer.from(all.subarray(0, at)), Buffer.from(all.subarray(at))])).toEqual(told as Told[]);
  });

  test.each([
    ["a masked frame", "8185000000006162636465", 1002],
    ["a reserved bit", "c10161", 1002],
    ["another reserved bit", "910161", 1002],
    ["a reserved opcode", "8300", 1002],
    ["a reserved control opcode", "8b00", 1002],
    ["a continuation of nothing", "800161", 1002],
    ["a message within a fragmented one", "010161810162", 1002],
    ["a fragmented ping", "0900", 1002],
    ["a ping of over 125 bytes", "897e007e", 1002],
    ["half a close code", "880103", 1002],
    ["close code 999", "880203e7", 1002],
    ["close code 1005", "880203ed", 1002],
    ["close code 1006", "880203ee", 1002],
    ["close code 1015", "880203f7", 1002],
    ["close code 2999", "88020bb7", 1002],
    ["close code 5000", "88021388", 1002],
    ["a close reason that is no UTF-8", "880303e8ff", 1007],
    ["a message of over the limit", "827f0000000000100001", 1009],
    ["a message whose length is absurd", "827fffffffffffffffff", 1009],
  ])("end with %s at its first bytes", (_, hex, code) => {
    const bytes = Buffer.from(hex, "hex");
    expect(read([bytes])).toEqual([["error", code]]);
    expect(read(parts(Buffer.concat([served(1, "ok"), Buffer.from(hex, "hex")]), 1))).toEqual([
      ["text", "ok"],
      ["error", code],
    ]);
  });

  test("may be as long as the limit, in one frame or many, and no longer", () => {
    const half = Buffer.alloc(50, 97);
    const whole: Told[] = [["binary", "a".repeat(100)]];
    expect(read([served(2, Buffer.concat([half, half]))], 100)).toEqual(whole);
    expect(read([served(2, half, false), served(0, half)], 100)).toEqual(whole);
    expect(read([served(2, half, false), served(0, half, false), served(0, "b")], 100)).toEqual([["error", 1009]]);
  });

  test("of a million empty or tiny fragments cost no more than their bytes", () => {
    const reader = new FrameReader(
      { message: () => undefined, ping: () => undefined, pong: () => undefined, close: () => undefined },
      LIMIT,
    );
    const chunk = Buffer.concat(Array.from({ length: 20_000 }, (_, at) => served(0, at % 2 === 0 ? "" : "x", false)));
    reader.read(served(2, "", false));
    Bun.gc(true);
    const before = memory();
    for (let n = 0; n < 50; n++) reader.read(chunk);
    expect(reader.pending).toBe(500_000);
    Bun.gc(true);
    expect(memory() - before).toBeLessThan(32 * 1024 * 1024);
  });

  test("that announce much and send little get little memory", () => {
    const readers = Array.from({ length: 200 }, () => {
      const none = () => undefined;
      return new FrameReader({ message: none, ping: none, pong: none, close: none }, 2 ** 30);
    });
    // Room that nobody has touched is counted by neither the system nor this.
    const before = process.memoryUsage.rss();
    for (const reader of readers) reader.read(Buffer.from("827f000000003fffffff6161", "hex"));
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    expect(readers.every(({ pending }) => pending === 2)).toBe(true);
  });
});
