/** Client streams: requests one behind the other, some of them mutated, and how their bytes are cut into writes. */
import { createRandom, hashOf, type Random } from "../../faults/random.ts";
import { written } from "./draft.ts";
import { mutated } from "./mutate.ts";
import { validRequest } from "./requests.ts";

export interface Stream {
  bytes: string;
  /** Where a write ends, and a turn of the event loop passes before the next one. Ascending. */
  cuts: number[];
  /** FIN follows the last byte at once. */
  ends: boolean;
  isMutated: boolean;
  /** Of each message that was written: method and target, as they stand in its first line. What else looks like one is bait. */
  openings: string[];
}

/** Behind most streams: it shows that the connection has gone on, and ends it. */
export const LAST = "GET /last HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n";

/** The stream of this number; the same seed gives the same one. */
export function makeStream(seed: number, number: number): Stream {
  const random = createRandom(hashOf(`stream/${seed}/${number}`));
  const count = random.pick([1, 2, 2, 3, 4, 5]);
  const isMutated = random.chance(0.75);
  const bad = isMutated ? random.between(0, count - 1) : -1;
  let bytes = "";
  const openings: string[] = [];
  for (let at = 0; at < count; at++) {
    const draft = validRequest(random, `s${number}/${at}`);
    const text = at === bad || (isMutated && random.chance(0.1)) ? mutated(draft, random) : written(draft);
    bytes += text;
    openings.push(openingOf(text));
  }
  // An app may still switch a connection that offers it, and none can be half-closed then.
  const ends = random.chance(0.1) && !/upgrade/i.test(bytes);
  if (!ends) {
    bytes += LAST;
    openings.push(openingOf(LAST));
  }
  return { bytes, cuts: cutsOf(bytes, random), ends, isMutated, openings };
}

/** Some places, rather around line ends; sometimes each byte of a stretch. */
export function cutsOf(bytes: string, random: Random): number[] {
  const cuts = new Set<number>();
  for (let more = random.pick([0, 0, 1, 2, 3, 6]); more > 0; more--) {
    const at = random.between(0, bytes.length);
    const end = random.chance(0.6) ? bytes.indexOf("\n", at) : -1;
    cuts.add(end === -1 ? at : end + random.between(-1, 2));
  }
  if (random.chance(0.05)) {
    const from = random.between(0, bytes.length);
    for (let at = from; at < Math.min(from + 60, bytes.length); at++) cuts.add(at);
  }
  return [...cuts].filter((at) => at > 0 && at < bytes.length).toSorted((a, b) => a - b);
}

// --- internal ---

function openingOf(text: string): string {
  const [line = ""] = /[^\r\n]+/.exec(text) ?? [];
  return line.split(" ", 2).join(" ");
}
