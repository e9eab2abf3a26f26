/**
 * An open WebSocket to an app, over a TCP connection of our own: `new WebSocket` tells neither the headers of a 101 nor
 * when it has room again. Made by handshake.ts, used by the engine's websocket.ts. Messages go through whole.
 */
import { isUtf8 } from "node:buffer";
import { Outbox } from "./write-queue.ts";
import { Keepalive } from "./keepalive.ts";
import { closePayload, FrameError, FrameReader, OPCODE } from "./frames.ts";

/** dataplane W3. */
export const MAX_MESSAGE = 256 * 1024 * 1024;
/** How long the app may take to answer our close frame, or to end the connection after its own. Milliseconds. */
const CLOSE_LIMIT_MS = 5000;
/** How long an app that is being left may take nothing of what was sent before. dataplane W5. Milliseconds. */
const STALL_LIMIT_MS = 55_000;

/** The other side of the bridge. */
export interface AppListener {
  /** Wraps what one read of the socket tells, so that what it causes can go out together. */
  together(tell: () => void): void;
  text(message: string): void;
  /** The memory is the socket's: it must not be kept. */
  binary(message: Buffer): void;
  /** Bytes of messages have come; not told for pings and pongs. */
  moved(): void;
  /** Nothing more should be sent until `drained`. */
  full(): void;
  drained(): void;
  /** The app has closed: 1005 without a code, 1006 when the connection just broke. Nothing is told after it. */
  closed(code: number, reason: string): void;
}

/** What happens on a connection to an app. */
export interface AppEnd {
  onOpen?(socket: Bun.Socket<AppEnd>): void;
  onData(bytes: Buffer): void;
  onDrain(): void;
  onEnd(): void;
  onClose(): void;
}

export class AppSocket implements AppEnd {
  readonly #socket: Bun.Socket<AppEnd>;
  readonly #highWater: number;
  readonly #outbox: Outbox;
  readonly #frames: FrameReader;
  #listener: AppListener | null = null;
  /** What came before anybody listened: at most what one read of the socket held. Null from then on. */
  #early: Buffer | null;
  #endedEarly = false;
  #paused = true;
  #full = false;
  /** The newest ping that waits for its answer: an app that asks and never reads must not fill our memory. */
  #asked: Buffer | null = null;
  /** A message came in this read. */
  #spoke = false;
  readonly #keepalive = new Keepalive();
  #writtenBefore = 0;
  /** Nothing may be sent any more. */
  #closeSent = false;
  /** Our close frame is sent, and what the app says until it answers is still heard. */
  #departs = false;
  /** No close frame is to be waited for: the connection ends when all is written. */
  #hangsUp = false;
  #over = false;
  #leaving: ReturnType<typeof setTimeout> | null = null;

  /** Takes over a paused socket; `early` came with the 101. Nothing is heard until `listen`. */
  constructor(socket: Bun.Socket<AppEnd>, early: Buffer, highWater: number) {
    this.#socket = socket;
    this.#early = early;
    this.#highWater = highWater;
    this.#outbox = new Outbox(socket, () => this.#changed());
    this.#frames = new FrameReader(
      {
        message: (opcode, payload) => this.#message(opcode === OPCODE.text, payload),
        ping: (payload) => this.#answerPing(payload),
        pong: () => this.#keepalive.answered(),
        close: (code, reason) => this.#closeFrame(code, reason),
      },
      MAX_MESSAGE,
    );
  }

  /** Bytes of a message that is not whole yet. */
  get pending(): number {
    return this.#frames.pending;
  }

  /** From now on messages are heard. */
  listen(listener: AppListener): void {
    this.#listener = listener;
    const early = this.#early;
    this.#early = null;
    if (early !== null && early.length > 0) this.onData(early);
    if (this.#endedEarly) this.#dropped();
    else this.resume();
  }

  send(message: string | Uint8Array): void {
    if (this.#closeSent) return;
    this.#keepalive.sent(message.length);
    this.#outbox.frame(typeof message === "string" ? OPCODE.text : OPCODE.binary, message);
  }

  /** Asks a silent app. Gives "gone" for one that is dead; to be called every CHECK_EVERY_MS. */
  check(): "fine" | "ask" | "gone" {
    const { written, waiting } = this.#outbox;
    // It reads, or it is not listened to: then it can't be heard.
    if (this.#paused || (waiting > 0 && written > this.#writtenBefore)) this.#keepalive.heard();
    this.#writtenBefore = written;
    const found = this.#keepalive.check();
    if (found === "ask" && !this.#closeSent) this.#outbox.frame(OPCODE.ping, "");
    return found;
  }

  pause(): void {
    if (this.#paused || this.#over || (this.#leaving !== null && !this.#departs)) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused || this.#over) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** Says goodbye after what was sent before; the app's own close frame is waited for, and nothing else is heard. */
  close(code: number, reason: string): void {
    if (this.#over) return;
    this.#departs = false;
    this.#sendClose(code, reason);
    this.#leave();
  }

  /** Says goodbye too, but the app is heard until it answers: `closed` is told then, or when it has not for too long. */
  depart(code: number, reason: string): void {
    if (this.#over || this.#closeSent) return;
    this.#departs = true;
    this.#sendClose(code, reason);
    this.#leave();
  }

  /** Ends the connection after what was sent before, without a close frame. */
  hangUp(): void {
    if (this.#over) return;
    this.#departs = false;
    this.#closeSent = true;
    this.#hangsUp = true;
    this.#leave();
    this.#outbox.flush();
    if (this.#outbox.waiting === 0) this.#end();
  }

  /** Ends it at once. */
  terminate(): void {
    if (this.#over) return;
    this.#forget();
    this.#socket.terminate();
  }

  // --- the socket's events ---

  onData(bytes: Buffer): void {
    this.#keepalive.heard();
    if (this.#early !== null) this.#early = Buffer.concat([this.#early, bytes]);
    else this.#listener?.together(() => this.#read(bytes));
  }

  onDrain(): void {
    this.#outbox.flush();
  }

  onEnd(): void {
    this.#dropped();
  }

  onClose(): void {
    this.#dropped();
  }

  // --- internal: hearing ---

  #read(bytes: Buffer): void {
    const before = this.#frames.pending;
    this.#spoke = false;
    try {
      this.#frames.read(bytes);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      // RFC 6455 §7.1.7: the connection fails; the client is told with the same code.
      this.#closeFrame(error.code, error.message);
    }
    if (this.#spoke || this.#frames.pending !== before) this.#listener?.moved();
  }

  #message(isText: boolean, payload: Buffer): void {
    this.#spoke = true;
    if ((this.#closeSent && !this.#departs) || this.#listener === null) return;
    if (!isText) return this.#listener.binary(payload);
    if (!isUtf8(payload)) throw new FrameError(1007, "a text message is no UTF-8");
    this.#listener.text(payload.toString("utf8"));
  }

  /** RFC 6455 §5.5.3: of several pings the newest may be answered alone. */
  #answerPing(payload: Buffer): void {
    if (this.#closeSent) return;
    if (this.#outbox.waiting === 0) this.#outbox.frame(OPCODE.pong, payload);
    else this.#asked = Buffer.from(payload);
  }

  /** Answered with the same code; the server ends the connection first (RFC 6455 §7.1.1). */
  #closeFrame(code: number, reason: string): void {
    this.#sendClose(code, reason);
    this.#tellClosed(code, reason);
    this.#leave();
  }

  #tellClosed(code: number, reason: string): void {
    const listener = this.#listener;
    this.#listener = null;
    listener?.closed(code, reason);
  }

  #dropped(): void {
    if (this.#early !== null) this.#endedEarly = true;
    else {
      this.#tellClosed(1006, "");
      this.#end();
    }
  }

  // --- internal: leaving ---

  #sendClose(code: number, reason: string): void {
    if (this.#closeSent) return;
    this.#closeSent = true;
    this.#outbox.frame(OPCODE.close, closePayload(code, reason));
    this.#outbox.flush();
  }

  /** Waits for the end of the connection, but not for ever. */
  #leave(): void {
    if (this.#over) return;
    // Its close frame may stand behind what nobody reads any more.
    if (!this.#departs) this.resume();
    if (this.#leaving !== null) clearTimeout(this.#leaving);
    this.#leaving = setTimeout(() => this.#dropped(), this.#outbox.waiting > 0 ? STALL_LIMIT_MS : CLOSE_LIMIT_MS);
  }

  /** FIN, behind all that the system has taken. */
  #end(): void {
    if (this.#over) return;
    this.#forget();
    this.#socket.end();
  }

  #forget(): void {
    this.#over = true;
    this.#closeSent = true;
    if (this.#leaving !== null) clearTimeout(this.#leaving);
    this.#leaving = null;
    this.#asked = null;
    this.#outbox.clear();
  }

  // --- internal: sending ---

  /** The outbox has written, or has to wait. */
  #changed(): void {
    const { waiting } = this.#outbox;
    if (this.#full !== waiting > (this.#full ? this.#highWater / 2 : this.#highWater)) {
      this.#full = !this.#full;
      if (this.#full) this.#listener?.full();
      else this.#listener?.drained();
    }
    if (this.#hangsUp && waiting === 0) return this.#end();
    if (this.#leaving !== null) this.#leave();
    if (waiting > 0 || this.#asked === null) return;
    const asked = this.#asked;
    this.#asked = null;
    this.#answerPing(asked);
  }
}
