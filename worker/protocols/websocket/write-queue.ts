/**
 * Frames on their way to an app: those of one turn of the event loop are written together, and what the system does not
 * take waits here. Used by client.ts, which holds its sender back when too much waits.
 */
import { frameRoom, maskInPlace, writeFrame } from "./frames.ts";

/** Where an outbox writes to: a socket of Bun. */
export interface Sink {
  /** Gives how many bytes were taken; negative when it is closed. */
  write(bytes: Uint8Array, from?: number, length?: number): number;
}

export class Outbox {
  readonly #sink: Sink;
  readonly #changed: () => void;
  /** Not yet taken by the system, in order. */
  #queue: Uint8Array[] = [];
  #waiting = 0;
  #written = 0;

  /** `changed` is called when bytes were written or have to wait. */
  constructor(sink: Sink, changed: () => void) {
    this.#sink = sink;
    this.#changed = changed;
  }

  /** Bytes that wait for room. Those of this turn are not among them: at most 64 KiB. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Bytes that the system has taken so far. */
  get written(): number {
    return this.#written;
  }

  /** Sends a frame. A large payload is masked where it stands, and must not be used any more. */
  frame(opcode: number, payload: string | Uint8Array): void {
    const room = frameRoom(payload);
    if (gathering !== this || gathered + room > together.length) flushTurn();
    if (room > together.length) return this.#sendLarge(opcode, payload);
    if (gathering === null) begin(this);
    gathered += writeFrame(together, gathered, opcode, payload);
  }

  /** Writes what waits; to be called when there is room again, or nothing else of this turn will follow. */
  flush(): void {
    if (gathering === this) flushTurn();
    const before = this.#written;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const taken = this.#write(first, first.length);
      this.#waiting -= taken;
      if (taken < first.length) {
        this.#queue[0] = first.subarray(taken);
        break;
      }
      this.#queue.shift();
    }
    if (this.#written > before) this.#changed();
  }

  /** Forgets what waits. */
  clear(): void {
    if (gathering === this) gathering = null;
    this.#queue = [];
    this.#waiting = 0;
  }

  /** Takes what was gathered in a turn; its memory is not this outbox's own. */
  turn(bytes: Buffer, length: number): void {
    const taken = this.#waiting > 0 ? 0 : this.#write(bytes, length);
    if (taken < length) this.#wait(Buffer.from(bytes.subarray(taken, length)));
    this.#changed();
  }

  // --- internal ---

  #sendLarge(opcode: number, payload: string | Uint8Array): void {
    const content = typeof payload === "string" ? Buffer.from(payload) : payload;
    for (const part of [maskInPlace(opcode, content), content]) {
      const taken = this.#waiting > 0 ? 0 : this.#write(part, part.length);
      if (taken < part.length) this.#wait(part.subarray(taken));
    }
    this.#changed();
  }

  #write(bytes: Uint8Array, length: number): number {
    const taken = Math.max(0, this.#sink.write(bytes, 0, length));
    this.#written += taken;
    return taken;
  }

  #wait(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#waiting += bytes.length;
  }
}

// --- internal ---

/** Frames of one outbox and one turn: a system call for each would be most of the cost of small messages. */
const together = Buffer.allocUnsafeSlow(64 * 1024);
let gathered = 0;
let gathering: Outbox | null = null;
let scheduled = false;

function begin(outbox: Outbox): void {
  gathering = outbox;
  gathered = 0;
  if (scheduled) return;
  scheduled = true;
  setImmediate(endOfTurn);
}

function endOfTurn(): void {
  scheduled = false;
  flushTurn();
}

function flushTurn(): void {
  const outbox = gathering;
  gathering = null;
  outbox?.turn(together, gathered);
}
