/** What a kind of traffic is, and what counts as wrong in it. The kinds are in http.ts, leaving.ts, websockets.ts and tcp.ts. */
import type { Body, Head } from "../contract/message.ts";
import type { Wire } from "../contract/wire.ts";
import type { Random } from "../faults/random.ts";
import { APP, ID } from "./apps.ts";
import { contentFault } from "./content.ts";
import type { Way } from "./ground.ts";

export interface Kind {
  name: string;
  /** How often it is chosen, next to the others. */
  weight: number;
  /** Rejects when something was not as it had to be. */
  run(way: Way, random: Random): Promise<void>;
}

/** A foreign or changed byte: a fault also when the circuit is going. */
export class Wrong extends Error {}

let made = 0;

/** No request has another one's. */
export function newId(): number {
  return ++made;
}

/** Throws when an answer is another request's or another app's, or none. */
export function assertMine(head: Head, id: number, { app }: Way): void {
  const [from, of] = [head.get(APP), head.get(ID)];
  if (from !== null && from !== app.name) throw new Wrong(`request ${id} to ${app.name} was answered by ${from}`);
  if (of !== null && of !== String(id)) throw new Wrong(`request ${id} got the answer of ${of}`);
  if (from === null || of === null) throw new Error(`request ${id} was answered with "${head.line}"`);
}

/** Throws when a body is not the whole content of its id. */
export function assertContent({ bytes, complete }: Pick<Body, "bytes" | "complete">, id: number, length: number): void {
  // What came before it broke off has to be right too.
  const fault = contentFault(bytes, id, complete ? length : Math.min(length, bytes.length));
  if (fault !== null) throw new Wrong(fault);
  if (!complete) throw new Error(`the answer of ${id} broke off after ${bytes.length} of ${length} bytes`);
}

/** As a client does that has enough, or that is killed. */
export function leave(wire: Wire, random: Random): void {
  if (random.chance(0.5)) wire.reset();
  else wire.close();
}

/** Mostly small, now and then some megabytes. */
export function someLength(random: Random): number {
  const most = random.weighted([
    { weight: 6, bytes: 4096 },
    { weight: 3, bytes: 100_000 },
    { weight: 1, bytes: 3_000_000 },
  ]).bytes;
  return random.between(0, most);
}
