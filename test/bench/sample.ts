/** Bytes that both ends of a check know: the upstream sends and receives them, the checks compare. */

export const KIBIBYTE = "0123456789abcdef".repeat(64);
export const GIB = 1024 ** 3;

const SAMPLE_BYTES = 8 * 1024 * 1024;

/** The same 8 MiB every time, and no two blocks of them alike. */
export function sample(): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(SAMPLE_BYTES / 4);
  let state = 0x9e3779b9;
  for (let at = 0; at < words.length; at++) {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer);
}
