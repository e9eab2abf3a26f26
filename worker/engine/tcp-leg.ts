/**
 * One of the two connections of raw TCP: what it reads is written to the other one, with back-pressure, and its end or reset
 * is passed on. Called by tcp.ts, which joins two of them.
 */
import { askSilentPeer } from "../../shared/net/linux-tcp.ts";
import { vanishedPeers, type Watch, type Watched } from "../net/vanished.ts";
import { giveBack } from "../net/spent.ts";
import { strayError } from "../net/stray-error.ts";
import type { Attempt } from "../seam/engine.ts";

/**
 * Two reads. More comes from a paused socket only when its peer has reset it: Bun then tells of all that the system holds, up to
 * 32 MiB, before it tells of the reset. Nobody would get it, and joining it read by read was a gigabyte of copies. Bytes.
 */
const MAX_UNSENT = 1024 * 1024;

/** What has a socket of raw TCP. */
export type Owner = Pick<Leg, "said" | "drained" | "ended" | "gone" | "reset">;

/** One of the two connections. What it reads is written to its `other`. */
export class Leg implements Watched {
  #socket: Bun.Socket<Owner> | null = null;
  #watch: Watch | null = null;
  #other: Leg | null = null;
  #attempt: Attempt | null = null;
  /** The listener's bookkeeping. */
  closed: () => void = () => undefined;
  /** Of a client: neither its connection nor its app's is there any more. */
  bothClosed: () => void = () => undefined;
  /** What else ends with it: the dialling for it. */
  leave: () => void = () => undefined;
  /** What the system did not take yet, copied; the other leg is paused meanwhile, so it is about one read. */
  #unsent: Buffer | null = null;
  /** The other side has ended its half: ours ends when all is written. */
  #ending = false;
  #ended = false;
  /** What has come behind a PROXY header, before there is another leg: one read, as a paused socket tells nothing, not even FIN. */
  #early: Buffer | null = null;
  /** FIN has come from it. */
  #hasEnded = false;
  /** A write has found it reset. */
  #isBroken = false;
  #over = false;

  /** True when nothing can come from it or go to it any more. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Nothing is read before there is somewhere to write it. */
  opened(socket: Bun.Socket<Owner>): void {
    this.#socket = socket;
    socket.pause();
    askSilentPeer(socket);
    this.#watch = vanishedPeers.watch(socket, this);
  }

  /** From now on what this side reads goes to `other`. */
  joined(other: Leg, attempt: Attempt): void {
    this.#other = other;
    this.#attempt = attempt;
    // First: whoever is written to may want it paused again.
    this.#socket?.resume();
    const early = this.#early;
    this.#early = null;
    if (early !== null) this.said(early);
    if (this.#hasEnded) other.end();
  }

  /** Bytes from this side. */
  said(bytes: Buffer): void {
    if (this.#other === null) return this.#keep(bytes);
    this.#attempt?.moved();
    this.#other.write(bytes);
    giveBack(bytes);
  }

  /** This side has ended its half; the end of one that was reset is none, and `gone` follows. */
  ended(): void {
    if (this.#isBroken) return;
    this.#hasEnded = true;
    this.#other?.end();
  }

  /** The system has room again. */
  drained(): void {
    const bytes = this.#unsent;
    this.#unsent = null;
    if (bytes !== null) {
      this.write(bytes);
      giveBack(bytes);
    }
    if (this.#unsent !== null) return;
    this.#other?.resume();
    if (this.#ending) this.end();
  }

  /** Its connection is gone: in good order when both halves have ended, else it was broken, and so is the other. */
  gone(broken: boolean): void {
    if (!this.#overNow()) return;
    if (broken || this.#isBroken) this.#other?.reset();
    else this.#other?.end();
  }

  /** RST. */
  reset(): void {
    if (!this.#overNow()) return;
    this.#socket?.terminate();
    this.#other?.reset();
  }

  vanished(): void {
    this.reset();
  }

  /** Bytes for this side; none of them is looked at afterwards. */
  write(bytes: Buffer): void {
    if (this.#over || this.#isBroken || this.#socket === null) return;
    // A read that was under way when this side filled up comes after what waits.
    if (this.#unsent !== null) {
      if (this.#unsent.length >= MAX_UNSENT) return this.reset();
      return void (this.#unsent = Buffer.concat([this.#unsent, bytes]));
    }
    const written = this.#socket.write(bytes);
    if (written === bytes.length) return;
    if (written < 0) return this.#broke();
    this.#unsent = Buffer.from(bytes.subarray(written));
    this.#other?.pause();
  }

  pause(): void {
    if (!this.#over && !this.#isBroken) this.#socket?.pause();
  }

  resume(): void {
    if (!this.#over) this.#socket?.resume();
  }

  /** No more bytes will come for this side. */
  end(): void {
    if (this.#unsent !== null) this.#ending = true;
    else if (!this.#ended && !this.#over && !this.#isBroken) {
      this.#ended = true;
      this.#socket?.shutdown();
    }
  }

  // --- internal ---

  #keep(bytes: Buffer): void {
    if (!this.#over) this.#early = Buffer.concat(this.#early === null ? [bytes] : [this.#early, bytes]);
  }

  /**
   * It was reset before the system could be asked for what has come. The system tells that once, which was to the write: now
   * Bun tells an end and a close in good order, and both only while it is read. Its last words come before them.
   */
  #broke(): void {
    this.#isBroken = true;
    this.#unsent = null;
    this.#socket?.resume();
  }

  /** True the first time. The attempt ends with the second leg: one may still have bytes to write. */
  #overNow(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#unsent = null;
    this.#watch?.end();
    this.#early = null;
    this.closed();
    this.leave();
    if (this.#other === null || this.#other.isOver) {
      this.bothClosed();
      this.#other?.bothClosed();
    }
    if (this.#other?.isOver === true) this.#attempt?.release();
    return true;
  }
}

/** Handlers that tell a socket's owner. */
export const HANDLERS: Bun.SocketHandler<Owner> = {
  data: ({ data: owner }, bytes) => owner.said(bytes),
  drain: ({ data: owner }) => owner.drained(),
  end: ({ data: owner }) => owner.ended(),
  close: ({ data: owner }, error) => owner.gone(error !== undefined && error !== null),
  error: (socket, error) => {
    socket.data.reset();
    strayError(socket, error);
  },
};

/** The same for the connection to an app. */
export const APP_HANDLERS: Bun.SocketHandler<Leg> = { ...HANDLERS, open: (socket) => socket.data.opened(socket) };
