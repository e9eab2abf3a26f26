/** What a request of an id is answered with: no two ids have the same bytes at the same place, so that a foreign byte is seen. */

/** Prime, as the step from id to id: all offsets come before one comes again. */
const PERIOD = 1_048_583;
const STEP = 7919;
const BLOCK = makeBlock();

/** The first `length` bytes that belong to an id. */
export function contentOf(id: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  let from = (id * STEP) % PERIOD;
  for (let at = 0; at < length; from = 0) at += BLOCK.copy(out, at, from);
  return out;
}

/** What is wrong with bytes that are to be the first `length` of an id; null when nothing is. */
export function contentFault(bytes: Buffer, id: number, length: number): string | null {
  const wanted = contentOf(id, length);
  if (bytes.equals(wanted)) return null;
  const at = bytes.findIndex((byte, index) => byte !== wanted[index]);
  if (at === -1 && bytes.length < length) return `${length - bytes.length} of ${length} bytes of ${id} are lost`;
  return `byte ${at === -1 ? length : at} of ${length} is not that of ${id}`;
}

// --- internal ---

function makeBlock(): Buffer {
  const block = Buffer.alloc(PERIOD);
  let state = 0x9e3779b9;
  for (let at = 0; at < PERIOD; at++) {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    block[at] = state;
  }
  return block;
}
