/**
 * A WebSocket to an app, over a TCP connection of our own: `new WebSocket` tells neither the status and body of a
 * refusal nor the headers of a 101, and can't say when it has room again. Used by bun-websocket.ts.
 */
import { isUtf8 } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { reason } from "../../shared/failure.ts";
import { dial, type Dialled } from "./dial.ts";
import { UpstreamFault } from "./engine.ts";
import { AnswerReader, type AnswerHead } from "./http1-answer.ts";
import { closeFrame, frame, FrameError, FrameReader, OPCODE } from "./websocket-frames.ts";

/** dataplane W3. */
export const MAX_MESSAGE = 256 * 1024 * 1024;
/** A head that takes longer than this is given up. An app that thinks about an upgrade is rare. Milliseconds. */
const HANDSHAKE_LIMIT_MS = 60_000;
/** How long the app may take to answer our close frame. Milliseconds. */
const CLOSE_LIMIT_MS = 5000;

/** What the other side of the bridge hears. Set before anything can be heard. */
export interface AppListener {
  text(message: string): void;
  binary(message: Buffer): void;
  /** The app has closed: 1005 without a code, 1006 when the connection just broke. Once. */
  closed(code: number, reason: string): void;
  /** There is room again after `send` gave false. */
  drained(): void;
}

/** The app's answer to a handshake. */
export type Handshake =
  | { kind: "open"; socket: AppSocket; head: AnswerHead }
  | { kind: "refused"; head: AnswerHead; body: ReadableStream<Uint8Array> };

export class AppSocket {
  readonly #highWater: number;
  #socket: Bun.Socket<AppSocket> | null = null;
  #answer: AnswerReader | null;
  #frames: FrameReader;
  #listener: AppListener | null = null;
  #body: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** Came with the 101: at most what one read of the socket held. */
  #early: Buffer[] = [];
  /** Not yet taken by the system. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  #wroteThisTurn = false;
  #full = false;
  #closeSent = false;
  #over = false;
  #told = false;
  #heard = true;
  #closing: ReturnType<typeof setTimeout> | null = null;
  readonly #handshake = Promise.withResolvers<Handshake>();
  readonly #key = randomBytes(16).toString("base64");

  private constructor(highWater: number) {
    this.#highWater = highWater;
    this.#answer = new AnswerReader({
      head: (head) => this.#head(head),
      body: (bytes) => this.#bodyChunk(bytes),
      end: () => this.#bodyEnd(),
    });
    this.#frames = new FrameReader(
      {
        message: (opcode, payload) => this.#message(opcode === OPCODE.text, payload),
        ping: (payload) => this.#write(frame(OPCODE.pong, payload)),
        pong: () => undefined,
        close: (code, reason) => this.#closeFrame(code, reason),
      },
      MAX_MESSAGE,
    );
  }

  /**
   * Dials the app and sends the handshake with these header lines. Rejects with an UpstreamFault. `stop` gives it up.
   * An open socket hears nothing until `listen`.
   */
  static connect(
    to: { host: string; port: number },
    target: string,
    headers: readonly [string, string][],
    highWater: number,
    reached: () => void,
  ): { answer: Promise<Handshake>; stop: () => void } {
    const app = new AppSocket(highWater);
    const dialled = dial<AppSocket>(to, app, HANDLERS);
    const timer = setTimeout(
      () => app.#fail(new UpstreamFault("broken", "no answer to the handshake in time")),
      HANDSHAKE_LIMIT_MS,
    );
    void app.#begin(dialled, `GET ${target} HTTP/1.1\r\n${lines(headers, app.#key)}\r\n`, reached);
    const answer = app.#handshake.promise.finally(() => clearTimeout(timer));
    const stop = () => {
      dialled.cancel();
      app.#fail(new UpstreamFault("revoked", "given up"));
    };
    return { answer, stop };
  }

  /** From now on messages are heard. */
  listen(listener: AppListener): void {
    this.#listener = listener;
    this.#data(Buffer.alloc(0));
    if (this.#over) this.#tellClosed(1006, "");
    else this.#socket?.resume();
  }

  /** Sends a message; false when more should wait for `drained`. */
  send(message: string | Uint8Array): boolean {
    if (this.#closeSent) return true;
    this.#write(frame(typeof message === "string" ? OPCODE.text : OPCODE.binary, message));
    this.#full = this.#unsentBytes > this.#highWater;
    return !this.#full;
  }

  ping(): void {
    this.#write(frame(OPCODE.ping, ""));
  }

  /** True when anything was heard since the last time it was asked. */
  takeHeard(): boolean {
    const heard = this.#heard;
    this.#heard = false;
    return heard;
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Says goodbye; the app's own close frame is waited for a while. */
  close(code: number, reason: string): void {
    if (this.#over) return;
    this.#sendClose(code, reason);
    this.#socket?.resume();
    this.#closing ??= setTimeout(() => this.terminate(), CLOSE_LIMIT_MS);
  }

  terminate(): void {
    this.#end();
    this.#socket?.terminate();
  }

  // --- internal: the socket's events ---

  async #begin(dialled: Dialled<AppSocket>, head: string, reached: () => void): Promise<void> {
    try {
      this.#socket = await dialled.socket;
      reached();
      if (this.#over) this.#socket.terminate();
      else this.#write(Buffer.from(head, "latin1"));
    } catch (error) {
      this.#fail(error instanceof UpstreamFault ? error : new UpstreamFault("broken", reason(error), error));
    }
  }

  /** Bytes from the app. */
  onData(bytes: Buffer): void {
    this.#heard = true;
    try {
      if (this.#answer === null) return this.#data(bytes);
      const rest = this.#answer.read(bytes);
      if (rest !== null && rest.length > 0 && this.#answer === null) this.#data(rest);
    } catch (error) {
      this.#fail(new UpstreamFault("broken", reason(error), error));
    }
  }

  onDrain(): void {
    this.#flush();
  }

  onEnd(): void {
    try {
      this.#answer?.ended();
    } catch (error) {
      this.#fail(new UpstreamFault("broken", reason(error), error));
    }
    if (this.#answer === null) this.#dropped();
    // Not a reset: it could overtake our close frame.
    this.#socket?.end();
  }

  onClose(): void {
    this.#dropped();
    this.#fail(new UpstreamFault("broken", "the app closed the connection"));
  }

  // --- internal: the handshake ---

  #head(head: AnswerHead): boolean {
    if (head.status !== 101) {
      const body = new ReadableStream<Uint8Array>(
        {
          start: (controller) => void (this.#body = controller),
          pull: () => this.#socket?.resume(),
          cancel: () => this.terminate(),
        },
        { highWaterMark: this.#highWater, size: (chunk) => chunk?.byteLength ?? 0 },
      );
      this.#handshake.resolve({ kind: "refused", head, body });
      return true;
    }
    const accept = createHash("sha1").update(`${this.#key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    if (head.headers.get("sec-websocket-accept") !== accept) throw new Error("the app's Sec-WebSocket-Accept is wrong");
    if (head.headers.has("sec-websocket-extensions")) throw new Error("the app uses an extension that was not offered");
    this.#answer = null;
    this.#socket?.pause();
    this.#handshake.resolve({ kind: "open", socket: this, head });
    return false;
  }

  #bodyChunk(bytes: Buffer): void {
    this.#body?.enqueue(Uint8Array.from(bytes));
    if ((this.#body?.desiredSize ?? 0) <= 0) this.#socket?.pause();
  }

  #bodyEnd(): void {
    this.#body?.close();
    this.#body = null;
    this.#end();
    this.#socket?.end();
  }

  /** Before the app has answered, or in the middle of a refusal. */
  #fail(fault: UpstreamFault): void {
    this.#handshake.reject(fault);
    this.#body?.error(fault);
    this.#body = null;
    if (this.#answer === null) this.#dropped();
    this.terminate();
  }

  // --- internal: messages ---

  #data(bytes: Buffer): void {
    if (this.#told) return;
    if (this.#listener === null) {
      if (bytes.length > 0) this.#early.push(Buffer.from(bytes));
      return;
    }
    const early = this.#early;
    this.#early = [];
    try {
      for (const chunk of [...early, bytes]) if (chunk.length > 0) this.#frames.read(chunk);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#sendClose(error.code, error.message);
      // RFC 6455 §7.1.7: the connection fails; the client is told with the same code.
      this.#tellClosed(error.code === 1009 ? 1009 : 1002, "");
      this.#socket?.end();
    }
  }

  #message(isText: boolean, payload: Buffer): void {
    if (this.#closeSent || this.#listener === null) return;
    if (!isText) return this.#listener.binary(payload);
    if (!isUtf8(payload)) throw new FrameError(1007, "a text message is no UTF-8");
    this.#listener.text(payload.toString("utf8"));
  }

  #closeFrame(code: number, reason: string): void {
    this.#sendClose(code, reason);
    this.#tellClosed(code, reason);
    // The server closes the connection first (RFC 6455 §7.1.1); one that doesn't is dropped.
    this.#closing ??= setTimeout(() => this.terminate(), CLOSE_LIMIT_MS);
  }

  #sendClose(code: number, reason: string): void {
    if (this.#closeSent || this.#over) return;
    this.#write(closeFrame(code, reason));
    this.#closeSent = true;
  }

  #tellClosed(code: number, reason: string): void {
    const listener = this.#listener;
    if (listener === null) return;
    this.#listener = null;
    this.#told = true;
    listener.closed(code, reason);
  }

  #dropped(): void {
    this.#tellClosed(1006, "");
    this.#end();
  }

  #end(): void {
    this.#over = true;
    if (this.#closing !== null) clearTimeout(this.#closing);
    this.#closing = null;
    this.#unsent = [];
    this.#unsentBytes = 0;
  }

  // --- internal: writing ---

  /** The first write of a turn goes out at once, the others of that turn together. */
  #write(bytes: Buffer): void {
    if (this.#over) return;
    this.#unsent.push(bytes);
    this.#unsentBytes += bytes.length;
    if (this.#wroteThisTurn) return;
    this.#wroteThisTurn = true;
    this.#flush();
    setImmediate(() => {
      this.#wroteThisTurn = false;
      if (this.#unsentBytes > 0) this.#flush();
    });
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === null || this.#unsentBytes === 0) return;
    const bytes = this.#unsent.length === 1 ? (this.#unsent[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#unsent);
    const written = Math.max(0, socket.write(bytes));
    this.#unsentBytes = bytes.length - written;
    this.#unsent = this.#unsentBytes === 0 ? [] : [bytes.subarray(written)];
    if (!this.#full || this.#unsentBytes > this.#highWater / 2) return;
    this.#full = false;
    this.#listener?.drained();
  }
}

// --- internal ---

const HANDLERS: Bun.SocketHandler<AppSocket> = {
  data: ({ data }, bytes) => data.onData(bytes),
  drain: ({ data }) => data.onDrain(),
  end: ({ data }) => data.onEnd(),
  close: ({ data }) => data.onClose(),
  error: ({ data }) => data.onClose(),
};

function lines(headers: readonly [string, string][], key: string): string {
  const own = [
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", key],
  ] as const;
  return [...headers, ...own].map(([name, value]) => `${name}: ${value}\r\n`).join("");
}
