/**
 * How one of a worker's processes leaves a port to the others that listen there (lanes.ts): the kernel is told to spread new
 * connections over all but this one, which keeps its listener until its queue has been taken and clients on idle
 * connections had the time to hear that they should come back.
 */
import { setImmediate } from "node:timers/promises";
import { within } from "../../shared/runtime/deadline.ts";
import type { Neighbours } from "./bind-shared.ts";
import { HandOver } from "./handover.ts";
import { placeOf } from "./linux-place.ts";
import { spread, spreadWithout, type OwnSocket } from "./linux-reuseport.ts";
import { listenersBeside } from "./linux-sockets.ts";
import type { Lanes } from "./types.ts";

/** So often it is checked whether others have come or gone, which changes the places of all. */
const CHECK_MS = 200;
/** So long a connection may need from the SYN that was led here just before until it is in our hands. Milliseconds. */
const QUEUE_MS = 500;
/** So much longer than it should a listener may stay for the sake of its queue. Milliseconds. */
const PATIENCE_MS = 3000;
/** So long another one may take to open the port of a circuit of which all have just heard, and how often that is checked. */
const LATE_MS = 2000;
const LATE_CHECK_MS = 20;

/** How a listener that has just been opened is left one day. */
export function handOverOf(socket: OwnSocket, neighbours: Neighbours): HandOver {
  const lanes = neighbours.sharing?.lanes;
  return lanes === undefined ? new HandOver(socket, neighbours) : new LaneHandOver(socket, neighbours, lanes);
}

/** All processes serve the same, so whoever gets a connection may have it: only who closes must have none in its queue. */
class LaneHandOver extends HandOver {
  readonly #socket: OwnSocket;
  readonly #lanes: Lanes;
  readonly #closing = Promise.withResolvers<void>();
  readonly #unfollow: () => void;
  #leaves = false;
  #isOver = false;
  /** The others, as they were when our place was looked for, the place, and when that was. */
  #out: { readonly others: string; readonly place: number | null; at: number } | null = null;

  constructor(socket: OwnSocket, neighbours: Neighbours, lanes: Lanes) {
    super(socket, neighbours);
    this.#socket = socket;
    this.#lanes = lanes;
    lanes.opened(socket.inode);
    this.#unfollow = lanes.onEnd(() => this.#ended());
  }

  override get handed(): boolean {
    return this.#leaves;
  }

  /** Nobody's in particular. */
  override steerHere(): boolean {
    return false;
  }

  override check(): void {
    // Nothing is counted but when it leaves.
  }

  override async finish(ms: number): Promise<void> {
    const end = performance.now() + ms;
    // Others may come to a new circuit's port a moment later.
    const late = performance.now() + Math.min(ms, LATE_MS);
    while (!(await this.#begin())) {
      if (this.#isOver || performance.now() > late || !this.#lanes.othersStay()) return;
      await within(LATE_CHECK_MS, this.#closing.promise);
    }
    while (!this.#isOver) {
      // Where the place can't be found, or changes all the time, a close has to do as it is.
      const taken = Math.min((this.#out?.at ?? 0) + QUEUE_MS, end + PATIENCE_MS);
      const left = Math.max(end, taken) - performance.now();
      if (left <= 0) return;
      await within(Math.min(left, CHECK_MS), this.#closing.promise);
      if (!(await this.#stepOut())) return;
    }
  }

  override cut(): void {
    super.cut();
    this.#isOver = true;
    this.#closing.resolve();
    this.#unfollow();
  }

  // --- internal ---

  /** Another one has ended. One that has left was at a place that is somebody else's by now: nobody is to be left out. */
  #ended(): void {
    if (!this.#leaves) spread(this.#socket);
    // The others say so as well, whoever is last; our queue counts from now on.
    else if (this.#out !== null) this.#out.at = performance.now();
  }

  async #begin(): Promise<boolean> {
    return (this.#leaves = this.#lanes.othersStay() && (await this.#stepOut()));
  }

  /** New connections go to the others. False when there are none, or this one is closed already. */
  async #stepOut(): Promise<boolean> {
    await hasTime();
    if (this.#isOver) return false;
    const there = listenersBeside([this.#socket.inode]);
    if (there.length === 0) return false;
    const others = there.join();
    if (this.#out?.others !== others || this.#out.place === null)
      this.#out = { others, place: placed(this.#socket, there.length + 1), at: performance.now() };
    const { place } = this.#out;
    // Told each time: another one that has seen a third one's end may have told the kernel otherwise.
    return place === null ? spread(this.#socket) : spreadWithout(this.#socket, place, there.length + 1);
  }
}

// --- internal ---

/** So long places are looked for in a turn of the event loop: meanwhile nobody's traffic moves, and there may be thousands. */
const SLICE_MS = 5;
let spent = 0;

/** Resolves in a turn in which there is time left. */
async function hasTime(): Promise<void> {
  while (spent > SLICE_MS) await setImmediate();
}

function placed(socket: OwnSocket, count: number): number | null {
  const began = performance.now();
  const place = placeOf(socket, count);
  if (spent === 0) void setImmediate().then(() => void (spent = 0));
  spent += performance.now() - began;
  return place;
}
