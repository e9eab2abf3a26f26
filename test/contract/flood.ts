/** Gigabytes that can be checked byte for byte without hashing, and what they cost the worker. */
import type { Wire } from "./wire.ts";

export const GIB = 1024 * 1024 * 1024;
/** So long a gigabyte may be under way on a busy machine; it is two seconds on a quiet one. Milliseconds. */
export const FLOOD_MS = 5 * 60_000;

/** Of a prime length, so that no block that is lost, doubled or swapped goes unseen. */
const PERIOD = 1_048_583;
const BLOCK = makeBlock();

/** The first bytes of the pattern. */
export function pattern(length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let at = 0; at < length; at += PERIOD) BLOCK.copy(out, at);
  return out;
}

/** Sends so many bytes of the pattern; `sent` is told of each part that the kernel has taken. */
export async function sendPattern(wire: Wire, total: number, sent: (bytes: number) => void = () => undefined) {
  for (let at = 0; at < total; at += PERIOD) {
    const part = BLOCK.subarray(0, Math.min(PERIOD, total - at));
    await wire.send(part);
    sent(part.length);
  }
}

/** Compares what comes with the pattern; `chunked` takes chunk sizes out first. */
export function patternCheck(chunked: boolean): { take(bytes: Buffer): void; count(): number; same(): boolean } {
  let count = 0;
  let same = true;
  const compare = (bytes: Buffer) => {
    for (let rest = bytes; rest.length > 0;) {
      const from = count % PERIOD;
      const part = rest.subarray(0, PERIOD - from);
      same &&= part.equals(BLOCK.subarray(from, from + part.length));
      count += part.length;
      rest = rest.subarray(part.length);
    }
  };
  return { take: chunked ? dechunk(compare) : compare, count: () => count, same: () => same };
}

/** The highest memory from now on, as growth over what it is now; until it is asked for, or goes out of use. */
export function peak(rss: () => number): Disposable & { growth(): number } {
  const before = rss();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, rss())), 10);
  return {
    [Symbol.dispose]: () => clearInterval(timer),
    growth() {
      clearInterval(timer);
      return Math.max(most, rss()) - before;
    },
  };
}

/** Resolves with a value that has stayed the same for half a second. */
export async function isFlat(value: () => number): Promise<number> {
  for (let since = performance.now(), last = value(); ; await Bun.sleep(10)) {
    const now = value();
    if (now === last && performance.now() - since > 500) return now;
    if (now !== last) since = performance.now();
    last = now;
  }
}

// --- internal ---

function makeBlock(): Buffer {
  const block = Buffer.alloc(PERIOD);
  let state = 1;
  for (let at = 0; at < PERIOD; at++) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    block[at] = state >> 16;
  }
  return block;
}

/** Takes the bytes of a chunked body out of its framing. */
function dechunk(content: (bytes: Buffer) => void): (bytes: Buffer) => void {
  let line = "";
  /** Bytes of the current chunk that are still to come; the two of its line end count. */
  let left = 0;
  return (bytes) => {
    for (let at = 0; at < bytes.length;) {
      if (left > 2) {
        const part = bytes.subarray(at, at + left - 2);
        content(part);
        left -= part.length;
        at += part.length;
      } else if (left > 0) {
        left--;
        at++;
      } else {
        line += String.fromCharCode(bytes[at++] ?? 0);
        if (!line.endsWith("\r\n")) continue;
        left = Number.parseInt(line, 16) + 2;
        line = "";
      }
    }
  };
}
