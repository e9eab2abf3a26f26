/** Where frames end, however the bytes are cut. */
import { expect, test } from "bun:test";
import { FrameEdges } from "../../../../worker/protocols/websocket/frame-edges.ts";

function frame(length: number, isMasked: boolean): Buffer {
  const mask = isMasked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([0x82, mask | length])
      : length < 65_536
        ? Buffer.from([0x82, mask | 126, length >> 8, length & 255])
        : Buffer.from([
            0x82,
            mask | 127,
            0,
            0,
            0,
            0,
            length >>> 24,
            (length >> 16) & 255,
            (length >> 8) & 255,
            length & 255,
          ]);
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0, 7), Buffer.alloc(length, 0x82)]);
}

test.each([1, 2, 3, 5, 11, 4096, 1_000_000])(
  "in pieces of %d each edge is seen, and none that is not there",
  (size) => {
    const frames = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000, 0].flatMap((length) => [
      frame(length, true),
      frame(length, false),
    ]);
    const stream = Buffer.concat(frames);
    const ends = new Set(frames.map((_one, at) => Buffer.concat(frames.slice(0, at + 1)).length));
    const edges = new FrameEdges();
    expect(edges.isBetween).toBe(true);
    for (let at = 0; at < stream.length; at += size) {
      const piece = stream.subarray(at, at + size);
      const last = [...ends].filter((end) => end > at && end <= at + piece.length).at(-1);
      expect(edges.pass(piece)).toBe(last === undefined ? -1 : last - at);
      expect(edges.isBetween).toBe(ends.has(at + piece.length));
    }
  },
);

test("a Close is seen, and nothing that looks like one inside another frame", () => {
  const edges = new FrameEdges();
  edges.pass(Buffer.from([0x82, 2, 0x88, 0]));
  expect(edges.hasClose).toBe(false);
  for (const byte of [0x88, 0x80, 1, 2, 3, 4]) edges.pass(Buffer.from([byte]));
  expect([edges.hasClose, edges.isBetween]).toEqual([true, true]);
});
