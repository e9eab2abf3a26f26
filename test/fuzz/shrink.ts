/** Makes a case that fails as small as it can: whoever mends the fault wants to see nothing else. Knows no HTTP. */

/** Bytes with the places where they are cut. */
export interface Cut {
  bytes: string;
  cuts: readonly number[];
}

export interface ShrinkLimits {
  tries: number;
  /** Milliseconds. */
  ms: number;
}

/** The smallest case found that `fails` still. `smaller` gives those that are a little smaller, the boldest first. */
export async function shrink<T>(
  start: T,
  smaller: (one: T) => Iterable<T>,
  fails: (one: T) => Promise<boolean>,
  { tries, ms }: ShrinkLimits,
): Promise<T> {
  const until = performance.now() + ms;
  let best = start;
  for (let left = tries; left > 0;) {
    let found = false;
    for (const one of smaller(best)) {
      if (left-- <= 0 || performance.now() > until) return best;
      if (!(await fails(one))) continue;
      best = one;
      found = true;
      break;
    }
    if (!found) return best;
  }
  return best;
}

/** Without cuts, without stretches of lines, without stretches of bytes, without single cuts. */
export function* smallerCuts({ bytes, cuts }: Cut): Iterable<Cut> {
  if (cuts.length > 0) yield { bytes, cuts: [] };
  yield* withoutLines({ bytes, cuts });
  for (let length = 1 << Math.floor(Math.log2(Math.max(1, bytes.length / 2))); length >= 1; length >>= 1)
    for (let at = 0; at < bytes.length; at += length) yield without({ bytes, cuts }, at, at + length);
  for (const cut of cuts) yield { bytes, cuts: cuts.filter((one) => one !== cut) };
}

// --- internal ---

function* withoutLines(one: Cut): Iterable<Cut> {
  const ends = [...one.bytes.matchAll(/\r\n/g)].map(({ index }) => index + 2);
  const starts = [0, ...ends].filter((at) => at < one.bytes.length);
  for (let count = starts.length >> 1; count >= 1; count >>= 1)
    for (let at = 0; at < starts.length; at += count)
      yield without(one, starts[at] ?? 0, starts[at + count] ?? one.bytes.length);
}

/** Cuts move with their bytes. */
function without({ bytes, cuts }: Cut, from: number, to: number): Cut {
  const end = Math.min(to, bytes.length);
  const rest = bytes.slice(0, from) + bytes.slice(end);
  const moved = cuts.map((at) => (at <= from ? at : Math.max(from, at - (end - from))));
  return { bytes: rest, cuts: [...new Set(moved)].filter((at) => at > 0 && at < rest.length) };
}
